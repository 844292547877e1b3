#!/bin/sh
# The environments of `./build.sh repro all` are different enough: a build that lets something of its surroundings into the
# file is found out, for each such thing; one that does not is N of N equal. With a build that takes no time.
# shellcheck disable=SC2016
. tests/tap.sh
root=$PWD
mkdir -p "$T/r/tests" "$T/r/src/a" "$T/r/src/b"
cp -R tests/repro "$T/r/tests/repro"; cp .gitignore "$T/r"
for name in one two three four five; do echo "$name" > "$T/r/src/a/$name"; echo "$name" > "$T/r/src/b/$name"; done
cd "$T/r" || exit 1
git init -q -b main . && git config user.name a && git config user.email a@b
# leaks EXPRESSION: build.sh puts what it prints into the file; the rest is the tree's alone.
leaks() {
    cat > build.sh <<BUILD
#!/bin/sh
here=\$(pwd)
case \$1 in client) half=client/ ;; *) half= ;; esac
for target in x86_64-linux-musl aarch64-linux-musl; do
    mkdir -p build/\$half\$target
    { echo "program for \$target"; cat src/*/*; $1 || :; } > build/\$half\$target/mlxk 2> /dev/null
done
BUILD
    chmod +x build.sh; git add -A; git commit -q --allow-empty -m "$1"
    # What the real one has fetched.
    mkdir -p build/vendor-cache build/toolchain build/zig-global-cache; echo x > build/vendor-cache/x; echo x > build/toolchain/x; echo x > build/zig-global-cache/x
    run sh tests/repro/run.sh all
}
leaks ':'
exits 0 repro-sees/nothing_leaks; says repro-sees/n_of_n out '^# ([0-9]+) of \1 equal$'
rows=$(grep -vc '^#' tests/repro/environments.tsv)
n=$(sed -n 's/^# \([0-9]*\) of .* equal$/\1/p' "$T/out"); missing=$(grep -c 'SKIP no' "$T/out")
[ "$n" = $((4 * (rows - $(grep -cE '^ok repro/(stranger|clone|shallow|worktree|backwards|far|small|loud) # SKIP' "$T/out")))) ]; ok $? repro-sees/every_row_was_built
echo "# $n binaries compared, $missing skipped"
# seen NAME EXPRESSION [LEAST]: at least one environment differs.
seen() {
    leaks "$2"
    if [ "$status" = 1 ] && grep -q '^not ok repro/.*/same_bytes_' "$T/out"; then echo "ok repro-sees/$1"; else echo "not ok repro-sees/$1"; told; fi
    echo "# $1: $(sed -n 's/^# \([0-9]* of .* equal\)$/\1/p' "$T/out")"
}
seen folder 'echo "$here"'
seen home 'echo "$HOME"'
seen user_name 'echo "$USER"'
seen time_zone 'date -d @0'
seen locale 'echo "$LANG $LC_ALL"'
seen file_modes 'umask'
seen times_of_files 'stat -c %Y src/a/one'
seen jobs 'echo "$JOBS"'
seen host_compiler 'echo "${CC:-cc}"'
seen flags_from_outside 'echo "$CFLAGS$CPPFLAGS$LDFLAGS"'
seen epoch_from_outside 'echo "$SOURCE_DATE_EPOCH"'
seen git_or_not 'ls -d .git'
seen history 'git rev-list --count HEAD'
seen shell 'readlink /proc/$$/exe'
seen compilers_cache 'ls build/toolchain'
if command -v gcc > /dev/null; then seen order_of_files 'find src -type f -print'; fi
if [ "$(id -u)" = 0 ]; then
    seen user 'id -u'
    seen host_name 'uname -n'
    seen kernel 'uname -r'
    seen network 'grep -c : /proc/net/dev'
    seen address_layout 'cat /proc/self/personality'
    if command -v localedef > /dev/null && [ -d /usr/share/i18n/locales ]; then seen sorting 'printf "a\nZ\nB\n" | env -u LC_ALL LC_ALL="$LANG" sort'; fi
fi
# A difference is explained where diffoscope is there.
leaks 'echo "$here"'
if command -v diffoscope > /dev/null; then says repro-sees/explained out '^# [-+]/'; else says repro-sees/explained out 'differ'; fi
same repro-sees/nothing_is_left '' "$(git status --porcelain; git worktree list | sed 1d)"
cd "$root" || exit 1
