# keep.sh: what is done with releases after they are out: backports, yanked rows, tags made again, releases built again,
# two of them compared, tables; and nightly builds, which are none.
# Sourced by release.sh after lib.sh and cut.sh.
# shellcheck shell=sh disable=SC2154,SC2034

# keep_lines: the maintained minor lines, newest first.
keep_lines() {
    rel_rows > "$rel_work/rows"
    sh src/tools/release/support.sh "$rel_work/rows" tsv | awk -F '\t' '$2 == "current" || $2 == "fixes only" { print $1 }'
}

# keep_backport COMMIT...: onto every maintained branch with cherry-pick -x, in a folder of its own. A branch moves
# when all of them fit; otherwise it stays and the report names commit and files.
keep_backport() {
    [ $# -gt 0 ] || rel_die 2 "backport COMMIT..."
    for keep_c in "$@"; do      # names such as HEAD mean something else in the other folder
        keep_whole=$(git rev-parse -q --verify --end-of-options "$keep_c^{commit}") || rel_die 2 "$keep_c is no commit"
        shift
        set -- "$@" "$keep_whole"
    done
    keep_lines > "$rel_work/lines"
    [ -s "$rel_work/lines" ] || rel_die 3 "no minor line is maintained yet"
    keep_conflicts=0
    while read -r keep_line; do
        keep_branch=release-$keep_line.x
        keep_old=$(git rev-parse -q --verify "refs/heads/$keep_branch") || {
            keep_conflicts=1
            rel_say "$keep_branch: no such branch here (git fetch origin $keep_branch:$keep_branch, or ./release.sh reopen $keep_line where nobody has it)"
            continue; }
        if [ "$(git symbolic-ref -q --short HEAD || true)" = "$keep_branch" ]; then rel_die 2 "leave $keep_branch first (git switch main)"; fi
        rm -rf "$rel_work/back"; git worktree prune
        git worktree add -q --detach "$rel_work/back" "$keep_old"
        keep_fits=1 keep_done=
        for keep_c in "$@"; do
            keep_short=$(git rev-parse --short=12 "$keep_c")
            if git log --format=%B "$keep_old" | grep -q "cherry picked from commit $(git rev-parse "$keep_c")" ||
                git merge-base --is-ancestor "$keep_c" "$keep_old"; then
                rel_say "$keep_branch: $keep_short is there already"; continue
            fi
            if git -C "$rel_work/back" cherry-pick -x "$keep_c" > "$rel_work/pick.log" 2>&1; then keep_done="$keep_done $keep_short"
            else
                keep_fits=0 keep_conflicts=1
                rel_say "$keep_branch: CONFLICT $keep_short \"$(git log -1 --format=%s "$keep_c")\""
                git -C "$rel_work/back" status --porcelain | sed -n 's/^\(UU\|AA\|DU\|UD\|AU\|UA\) \(.*\)/    \1 \2/p' |
                    sed 's/^    UU/    both changed/; s/^    AA/    both added/; s/^    DU/    gone there/; s/^    UD/    removed here/'
                rel_say "    by hand: git switch $keep_branch && git cherry-pick -x $keep_short"
                git -C "$rel_work/back" cherry-pick --abort 2>/dev/null || true
                break
            fi
        done
        if [ "$keep_fits" = 1 ] && [ -n "$keep_done" ]; then
            git update-ref "refs/heads/$keep_branch" "$(git -C "$rel_work/back" rev-parse HEAD)" "$keep_old"
            rel_say "$keep_branch: applied$keep_done"
        fi
    done < "$rel_work/lines"
    rm -rf "$rel_work/back"; git worktree prune
    [ "$keep_conflicts" = 0 ] || exit 1
}

# keep_reopen X.Y: the branch of a line that nobody has any more, opened on the line's newest release as that release did.
keep_reopen() {
    keep_line=${1:-} keep_branch=release-${1:-}.x
    tag=$(rel_rows | awk -F '\t' -v line="v$keep_line." '$1 == "release" && index($2, line) == 1 &&
        substr($2, length(line) + 1) ~ /^[0-9]+$/ { t = $2 } END { print t }')
    [ -n "$tag" ] || rel_die 2 "reopen X.Y: no release '$keep_line' is in the witness"
    for keep_ref in "refs/heads/$keep_branch" "refs/remotes/origin/$keep_branch"; do
        if git rev-parse -q --verify "$keep_ref" > /dev/null; then rel_die 3 "$keep_branch is there: git switch $keep_branch"; fi
    done
    rel_rows | awk -F '\t' -v tag="$tag" '$1 == "release" && $2 == tag' > "$rel_work/row"
    keep_commit=$(cut_open "$(rel_field "$tag" 4)" "$rel_work/next" "$keep_line.$((${tag##*.} + 1))-dev")
    git update-ref "refs/heads/$keep_branch" "$keep_commit" ""
    rel_say "$keep_branch: opened on $tag"
}

# keep_yank TAG REASON: a row that says so. Nothing is deleted: the tag, its row and its number stay.
keep_yank() {
    [ $# -ge 2 ] || rel_die 2 "yank TAG REASON..."
    tag=$1; shift
    [ -n "$(rel_field "$tag" 3)" ] || rel_die 4 "$tag is not in the witness"
    if rel_rows | awk -F '\t' -v t="$tag" '$1 == "yanked" && $2 == t { found = 1 } END { exit !found }'; then
        rel_die 4 "$tag is yanked already"; fi
    keep_why=$(echo "$*" | tr '\t\n' '  ')
    [ "${#keep_why}" -ge 10 ] || rel_die 2 "yank: the reason needs at least 10 letters"
    [ "$(rel_branch)" = main ] || rel_die 3 "a release is yanked on main"
    rel_clean
    key=; keep_head=$(git rev-parse HEAD)
    printf 'yanked\t%s\t%s\t%s\t%s\t%s\t-\t-\t%s\n' "$tag" "$(rel_field "$tag" 3)" "$(rel_field "$tag" 4)" "$(rel_field "$tag" 5)" \
        "$(TZ=UTC0 date -u -d "@$rel_now" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$rel_now" +%Y-%m-%dT%H:%M:%SZ)" \
        "$keep_why" > "$rel_work/row"
    cut_witness HEAD "$rel_work/next"
    keep_commit=$(rel_commit HEAD "$rel_work/next" "Yank $tag: $keep_why")
    { echo "tag $tag (yanked)"; echo "ref refs/heads/main $keep_commit $keep_head"; echo "tree $keep_head $keep_commit"; } > "$(rel_journal).new"
    mv "$(rel_journal).new" "$(rel_journal)"
    rel_apply
    rel_say "yanked $tag; fix it in the next patch release"
}

# keep_retag: tag objects that this clone lacks, made again from the witness; one that differs is an error.
keep_retag() {
    rel_rows | awk -F '\t' '$1 == "release" { print $2, $3, $4, $7 }' > "$rel_work/rows"
    keep_made=0 keep_there=0
    while read -r tag keep_object keep_commit keep_signed; do
        keep_has=$(git rev-parse -q --verify "refs/tags/$tag" || true)
        if [ "$keep_has" = "$keep_object" ]; then keep_there=$((keep_there + 1)); continue; fi
        [ -z "$keep_has" ] || rel_die 4 "$tag is $keep_has here and $keep_object in the witness: somebody moved it"
        git cat-file -e "$keep_commit^{commit}" 2>/dev/null ||
            rel_die 4 "$tag: its commit $keep_commit is not in this clone (git fetch --unshallow, or fetch release-X.Y.x)"
        rel_tag_text "$keep_commit" "$tag" > "$rel_work/tag"
        if [ "$keep_signed" = signed ]; then keep_signature "$tag" >> "$rel_work/tag"; fi
        [ "$(git hash-object -t tag "$rel_work/tag")" = "$keep_object" ] || rel_die 4 "$tag: the object made again is not $keep_object"
        rel_tag_object "$rel_work/tag" >/dev/null
        git update-ref "refs/tags/$tag" "$keep_object" ""
        keep_made=$((keep_made + 1))
        rel_say "made $tag $(printf '%.12s' "$keep_object")"
    done < "$rel_work/rows"
    rel_say "$keep_made made, $keep_there there already"
}
# The signature lies beside the witness, on whichever branch has the row.
keep_signature() {
    { echo HEAD; git for-each-ref --format='%(refname)' refs/heads refs/remotes; } | while read -r keep_ref; do
        if git show "$keep_ref:docs/releases/$1.sig" 2>/dev/null; then break; fi
    done
}

# keep_rebuild [TAG]: the release (the newest one) built again from its commit; every file must have the hash of the witness.
keep_rebuild() {
    tag=${1:-$(rel_rows | awk -F '\t' '$1 == "release" && $8 != "-" { t = $2 } END { print t }')}
    if [ -z "$tag" ]; then rel_say "no release yet: nothing to build again"; return 0; fi
    keep_commit=$(rel_field "$tag" 4); keep_files=$(rel_field "$tag" 8)
    if [ -z "$keep_commit" ] || [ "$keep_files" = - ]; then rel_die 4 "$tag is no release with files in the witness"; fi
    git cat-file -e "$keep_commit^{commit}" 2>/dev/null || rel_die 4 "$tag: its commit $keep_commit is not in this clone"
    family=$(rel_family "$tag")
    cut_tree "$keep_commit" "$(cut_verb)"
    git show "$keep_commit:docs/releases/$tag.md" > "$rel_work/bundle/RELEASE_NOTES.md"
    if [ "$(rel_field "$tag" 7)" = unsigned ]; then cut_unsigned; else rm -f "$rel_work/bundle/UNSIGNED"; fi
    cut_sums
    printf '%s\n' "$keep_files" | tr ',' '\n' | sed 's/^\(.*\)=\(.*\)$/\2  \1/' | sort > "$rel_work/witness"
    sort "$rel_work/bundle/SHA256SUMS" > "$rel_work/again"
    keep_n=$(wc -l < "$rel_work/witness" | tr -d ' ')
    if cmp -s "$rel_work/witness" "$rel_work/again"; then rel_say "$tag built again: $keep_n of $keep_n files equal"; return 0; fi
    rel_say "$tag built again: $(comm -12 "$rel_work/witness" "$rel_work/again" | wc -l | tr -d ' ') of $keep_n files equal"
    comm -3 "$rel_work/witness" "$rel_work/again" | awk '{ print $2 }' | sort -u | while read -r keep_name; do
        rel_say "  $keep_name differs"
        # What was handed out may still lie here.
        if [ -f "build/dist/$tag/$keep_name" ] && [ -f "$rel_work/bundle/$keep_name" ] && command -v diffoscope >/dev/null 2>&1; then
            timeout 600 diffoscope --max-report-size 4000 "build/dist/$tag/$keep_name" "$rel_work/bundle/$keep_name" | head -n 60 || true
        fi
    done
    exit 4
}

# keep_compare A B: what changed between two releases: commits, files by part, documents, what the change log says.
keep_compare() {
    [ $# = 2 ] || rel_die 2 "compare TAG TAG"
    for keep_t in "$1" "$2"; do
        [ -n "$(rel_field "$keep_t" 4)" ] || rel_die 4 "$keep_t is not in the witness"
    done
    keep_a=$(rel_field "$1" 4); keep_b=$(rel_field "$2" 4)
    rel_say "$1..$2: $(git rev-list --count "$keep_a..$keep_b") commits, $(git diff --name-only "$keep_a" "$keep_b" | wc -l | tr -d ' ') files"
    git diff --name-only "$keep_a" "$keep_b" | awk '
        FNR == NR { if ($0 !~ /^#/ && NF == 2) { glob[++n] = $1; whose[n] = $2 } next }
        { part = "other"; for (i = 1; i <= n; i++) if (index($0, glob[i]) == 1) { part = whose[i]; break } count[part]++ }
        END { for (p in count) printf "  %-7s %d files\n", p, count[p] }' src/tools/release/components.tsv - | sort
    for keep_t in a b; do
        mkdir "$rel_work/$keep_t"
        eval "git archive \"\$keep_$keep_t\" VERSION docs/schema" | tar -xm -C "$rel_work/$keep_t"
    done
    diff "$rel_work/a/VERSION" "$rel_work/b/VERSION" | sed -n 's/^\([<>]\)/  VERSION \1/p' || true
    python3 src/tools/release/api_diff.py "$rel_work/a/docs/schema" "$rel_work/b/docs/schema" > "$rel_work/changes" || true
    sed 's/^/  json-api: /' "$rel_work/changes"
    git diff --unified=0 "$keep_a" "$keep_b" -- CHANGELOG.md | sed -n 's/^+\(- .*\)/  \1/p'
}

# keep_nightly [YYYYMMDD]: HEAD as X.Y.Z.devYYYYMMDD in build/dist/nightly; no tag, no row, never signed, never sent.
keep_nightly() {
    rel_clean
    case $(rel_version_at HEAD product) in *-dev) ;; *) rel_die 4 "HEAD is itself a release: nothing nightly about it" ;; esac
    [ -z "$key" ] || rel_die 3 "nightly builds are never signed: unset MLXK_SIGNING_KEY"
    keep_made=$(TZ=UTC0 git log -1 --date=format-local:%Y%m%d --format=%cd)
    keep_day=${1:-$keep_made}
    printf '%s\n' "$keep_day" | grep -Eqx '20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])' || rel_die 2 "nightly YYYYMMDD: $keep_day is no day"
    [ "$keep_day" -ge "$keep_made" ] || rel_die 3 "the commit was made on $keep_made, after $keep_day"
    export MLXK_NIGHTLY="$keep_day"
    keep_number=$(rel_version_at HEAD product); keep_number=${keep_number%-dev}.dev$keep_day
    cut_tree HEAD dist
    cut_unsigned; cut_sums
    mkdir -p build/dist/nightly
    rm -rf "build/dist/nightly/$keep_number"; mv "$rel_work/bundle" "build/dist/nightly/$keep_number"
    rel_say "$keep_number of $(git rev-parse --short=12 HEAD) is build/dist/nightly/$keep_number"
}

# keep_support: docs/SUPPORT.md and .tsv of this tree's witness.
keep_support() {
    for keep_form in md tsv; do
        sh src/tools/release/support.sh docs/releases.tsv $keep_form > "docs/SUPPORT.$keep_form.new"
        mv "docs/SUPPORT.$keep_form.new" "docs/SUPPORT.$keep_form"
    done
}

# keep_cadence: how long it really took between releases of a kind.
keep_cadence() {
    rel_rows | awk -F '\t' '$1 == "release" && $2 ~ /^v[0-9]+\.[0-9]+\.[0-9]+$/ { print substr($2, 2), $4 }' | while read -r keep_v keep_c; do
        echo "$(rel_kind "$keep_v") $keep_v $(git log -1 --format=%ct "$keep_c")"
    done | awk '{ days = $1 in last ? sprintf("%.1f days after %s", ($3 - last[$1]) / 86400, name[$1]) : "the first"
                  printf "%-6s %-12s %s\n", $1, $2, days; last[$1] = $3; name[$1] = $2 }'
}
