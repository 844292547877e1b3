# lib.sh: the words that release.sh, release-client.sh and release-engine.sh share. Sourced, never run.
#
# 1. VERSION is the authority: line 1 is the product, `client`, `engine` and `json-api` lines the others.
# 2. docs/releases.tsv is the witness. It only grows; its rows are written in the commit after a release,
#    because nothing in a tagged tree can hold a hash of that tree.
# 3. A tag object is a function of its commit (tagger, date and message come from it), so it can be made again.
# 4. No ref moves before every object of a release exists and a journal names all moves. A run that finds a
#    journal finishes it; a run that finds none starts from nothing, and objects nobody names are git's litter.
# shellcheck shell=sh disable=SC2034

export LC_ALL=C
rel_tab=$(printf '\t')

rel_say() { printf '%s\n' "$*"; }
# rel_die STATUS TEXT: 1 failed, 2 usage, 3 a rule refuses, 4 tree, tags and witness disagree.
rel_die() { rel_status=$1; shift; printf '%s: %s\n' "${rel_program:-release}" "$*" >&2; exit "$rel_status"; }

# ---- versions ------------------------------------------------------------------------------------

# rel_canonical VERSION: 2.0.0rc1, 2.0.0b1 and 2.0.0a1 as 2.0.0-rc.1, -beta.1, -alpha.1; a leading v is dropped.
rel_canonical() {
    printf '%s\n' "$1" | sed -E 's/^v//; s/^([0-9.]+)(rc|b|a)([0-9]+)$/\1-\2.\3/; s/-b\./-beta./; s/-a\./-alpha./'
}
rel_valid() {
    printf '%s\n' "$1" |
        grep -Eqx '(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}(-(alpha|beta|rc)\.[1-9][0-9]{0,5}(-local)?)?'
}
# rel_part N VERSION: major, minor or patch.
rel_part() { printf '%s\n' "${2%%-*}" | cut -d. -f"$1"; }
rel_kind() {
    if [ "$(rel_part 3 "$1")" != 0 ]; then echo patch
    elif [ "$(rel_part 2 "$1")" != 0 ]; then echo minor
    else echo major; fi
}
# rel_order: versions, one a line, from the lowest to the highest (dev < alpha < beta < rc < the release).
rel_order() {
    awk '{ v = $1; label = ""; number = 0; sub(/-local$/, "", v)
           if ((at = index(v, "-")) > 0) { label = substr(v, at + 1); v = substr(v, 1, at - 1) }
           split(v, p, "."); if (split(label, l, ".") == 2) number = l[2]
           rank = label == "" ? 4 : l[1] == "rc" ? 3 : l[1] == "beta" ? 2 : l[1] == "alpha" ? 1 : 0
           printf "%06d.%06d.%06d.%d.%06d %s\n", p[1], p[2], p[3], rank, number, $1 }' | sort -u | cut -d' ' -f2
}
# rel_less A B: true when A stands before B.
rel_less() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | rel_order | head -n 1)" = "$1" ]; }

# ---- VERSION, at any commit -----------------------------------------------------------------------

rel_prefix() { case $1 in product) echo v ;; json) echo json-v ;; *) echo "$1-v" ;; esac; }
# rel_family TAG: whose tag it is; fails for names that are no release's.
rel_family() {
    case $1 in
    v[0-9]*) echo product ;;
    client-v[0-9]*) echo client ;;
    engine-v[0-9]*) echo engine ;;
    json-v[0-9]*) echo json ;;
    *) return 1 ;;
    esac
}
rel_tag_version() { printf '%s\n' "$1" | sed 's/^\(client-\|engine-\|json-\)\{0,1\}v//'; }
# rel_line FAMILY: the family's number out of a VERSION file on stdin.
rel_line() {
    case $1 in json) set -- json-api ;; esac
    awk -v key="$1" 'NR == 1 { first = $1; next } $1 == key && NF == 2 { found = $2 }
        END { print key == "product" || found == "" ? first : found }'
}
rel_version_at() { git show "$1:VERSION" | rel_line "$2"; }
# rel_set_line FAMILY VERSION: VERSION on stdin with that line changed.
rel_set_line() {
    case $1 in json) set -- json-api "$2" ;; esac
    awk -v key="$1" -v to="$2" 'NR == 1 { print key == "product" ? to : $0; next } $1 == key { print key, to; next } { print }'
}

# ---- the witness -----------------------------------------------------------------------------------

# rel_rows: every row that main, a release branch, their remote copies or HEAD know, oldest first.
rel_rows() {
    { echo HEAD; git for-each-ref --format='%(refname)' refs/heads/main 'refs/heads/release-*' \
        refs/remotes/*/main 'refs/remotes/*/release-*'; } | while read -r rel_ref; do
        git show "$rel_ref:docs/releases.tsv" 2>/dev/null || true
    done | grep -v '^#' | sort -u | sort -s -t "$rel_tab" -k6,6
}
# rel_versions FAMILY: its released versions, lowest first (yanked ones too: a number is used once).
rel_versions() {
    rel_rows | awk -F '\t' -v prefix="$(rel_prefix "$1")" '
        $1 != "yanked" && index($2, prefix) == 1 && substr($2, length(prefix) + 1, 1) ~ /[0-9]/ {
            print substr($2, length(prefix) + 1) }' | rel_order
}
rel_field() { rel_rows | awk -F '\t' -v tag="$1" -v n="$2" '$1 != "yanked" && $2 == tag { print $n; exit }'; }

# ---- objects ----------------------------------------------------------------------------------------

# rel_commit PARENT FOLDER MESSAGE: a commit whose tree is the parent's with FOLDER's files laid over; prints it.
rel_commit() {
    rm -f "$rel_work/index"
    GIT_INDEX_FILE=$rel_work/index git read-tree "$1"
    (cd "$2" && find . -type f | sed 's|^\./||' | sort) > "$rel_work/paths"
    while read -r rel_path; do
        rel_blob=$(git hash-object -w --no-filters "$2/$rel_path")
        GIT_INDEX_FILE=$rel_work/index git update-index --add --cacheinfo "100644,$rel_blob,$rel_path"
    done < "$rel_work/paths"
    rel_tree=$(GIT_INDEX_FILE=$rel_work/index git write-tree)
    git commit-tree "$rel_tree" -p "$1" -m "$3"
}

# rel_tag_text COMMIT TAG: the tag object without a signature. Title, summary and record come out of the notes.
rel_tag_text() {
    printf 'object %s\ntype commit\ntag %s\ntagger %s\n\n' "$(git rev-parse "$1^{commit}")" "$2" \
        "$(git cat-file commit "$1" | sed -n 's/^committer //p' | head -n 1)"
    git show "$1:docs/releases/$2.md" | awk '
        NR == 1 { sub(/^# /, ""); print; print ""; next }
        /^## / { part = $0; next }
        part == "## What is new" && NF { summary = summary $0 "\n" }
        part == "## Record" && NF { record = record $0 "\n" }
        END { printf "%s\n%s", summary, record }'
}
# rel_signature KEY: git-style SSH signature of stdin.
rel_signature() {
    command -v ssh-keygen >/dev/null 2>&1 || rel_die 1 "signing a tag needs ssh-keygen"
    cat > "$rel_work/payload"
    rm -f "$rel_work/payload.sig"
    ssh-keygen -q -Y sign -n git -f "$1" "$rel_work/payload" 2> "$rel_work/sign.log" ||
        rel_die 1 "the key $1 signed nothing: $(tail -n 1 "$rel_work/sign.log")"
    cat "$rel_work/payload.sig"
}
# rel_tag_object FILE: stores it as a tag; prints its name.
rel_tag_object() { git hash-object -t tag -w "$1"; }

# ---- the journal: all refs of a release move, or a later run moves the rest -----------------------------

# The git folder that all work trees share.
rel_git_dir() { git rev-parse --git-common-dir; }
rel_journal() { echo "$(rel_git_dir)/mlxk-release"; }

# rel_apply: moves what the journal says; what has moved already is passed over.
#   ref NAME NEW OLD   (OLD 0...: must not exist)
#   move FROM TO       a finished folder gets its name
#   tree OLD NEW       files of the work tree follow
rel_apply() {
    rel_j=$(rel_journal)
    rel_moves=
    while read -r rel_word rel_a rel_b rel_c; do
        [ "$rel_word" = ref ] || continue
        rel_now=$(git rev-parse -q --verify "$rel_a" || echo 0000000000000000000000000000000000000000)
        if [ "$rel_now" = "$rel_b" ]; then continue; fi
        [ "$rel_now" = "$rel_c" ] || rel_die 4 "$rel_a stands at $rel_now since the release was interrupted, not at $rel_c: \
move it back, or remove $rel_j to forget that release (no tag of it may have been pushed)"
        rel_moves="${rel_moves}update $rel_a $rel_b $rel_c
"
    done < "$rel_j"
    if [ -n "$rel_moves" ]; then printf '%s' "$rel_moves" | git update-ref --stdin; fi
    while read -r rel_word rel_a rel_b rel_c; do
        case $rel_word in
        move) if [ -d "$rel_a" ]; then rm -rf "$rel_b"; mkdir -p "$(dirname "$rel_b")"; mv "$rel_a" "$rel_b"; fi ;;
        tree) rel_follow "$rel_a" "$rel_b" ;;
        esac
    done < "$rel_j"
    rm -f "$rel_j"
}
# rel_follow OLD NEW: index and files follow from OLD to NEW; a file that is neither is somebody's work and stays.
rel_follow() {
    for rel_path in $(git diff-tree -r --name-only "$1" "$2"); do
        rel_is=none
        if [ -e "$rel_path" ]; then rel_is=$(git hash-object --no-filters "$rel_path"); fi
        rel_old=$(git rev-parse -q --verify "$1:$rel_path" || echo none)
        rel_new=$(git rev-parse -q --verify "$2:$rel_path" || echo none)
        if [ "$rel_is" != "$rel_old" ] && [ "$rel_is" != "$rel_new" ]; then
            rel_die 1 "$rel_path was changed since the release was interrupted: put it aside and run again"
        fi
    done
    git read-tree "$2"
    git diff-tree -r --name-only --diff-filter=AM "$1" "$2" | git checkout-index -f --stdin
}
# rel_resume: finishes an interrupted release; true when there was one.
rel_resume() {
    [ -f "$(rel_journal)" ] || return 1
    rel_resumed=$(sed -n 's/^tag //p' "$(rel_journal)")
    rel_apply
    rel_say "finished ${rel_resumed:-the interrupted run}: it had been stopped between its commits and its refs"
}

# ---- the run itself -----------------------------------------------------------------------------------

# rel_begin: one run at a time in this repository; a folder for scratch; the clock.
rel_begin() {
    git rev-parse --git-dir >/dev/null 2>&1 || rel_die 4 "no git repository here"
    mkdir -p build/release
    rel_work=$(mktemp -d "$PWD/build/release/work.XXXXXX")
    trap 'rm -rf "$rel_work"' EXIT
    trap 'exit 1' INT TERM HUP
    if command -v flock >/dev/null 2>&1; then
        exec 9> "$(rel_git_dir)/mlxk-release.lock"
        # A run that was killed a moment ago may not be quite gone.
        flock -w 10 9 || rel_die 1 "another release runs in this repository"
    fi
    find build/release -maxdepth 1 -name 'work.*' ! -path "build/release/${rel_work##*/}" -exec rm -rf {} +
    git worktree prune
    # git's own clock, so that dates given for the commit count for the waiting times too.
    rel_now=$(git var GIT_COMMITTER_IDENT | awk '{ print $(NF - 1) }')
    rel_owner=${MLXK_RELEASE_OWNER:-$(git config user.name || echo nobody)}
}
rel_clean() {
    rel_dirt=$(git status --porcelain --untracked-files=normal)
    [ -z "$rel_dirt" ] || rel_die 4 "the tree has changes that no commit holds: $(printf '%s' "$rel_dirt" | head -n 3 | tr '\n' ' ')"
}
rel_branch() { git symbolic-ref -q --short HEAD || rel_die 4 "HEAD is on no branch"; }
