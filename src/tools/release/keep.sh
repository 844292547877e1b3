# keep.sh: what is done with releases after they are out: backports, yanked rows, tags made again, tables.
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
        shift
        set -- "$@" "$(git rev-parse -q --verify "$keep_c^{commit}" || rel_die 2 "$keep_c is no commit")"
    done
    keep_lines > "$rel_work/lines"
    [ -s "$rel_work/lines" ] || rel_die 3 "no minor line is maintained yet"
    keep_conflicts=0
    while read -r keep_line; do
        keep_branch=release-$keep_line.x
        keep_old=$(git rev-parse -q --verify "refs/heads/$keep_branch") || { keep_conflicts=1; rel_say "$keep_branch: no such branch here"; continue; }
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
