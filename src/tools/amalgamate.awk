# amalgamate.awk: pastes mlxk.c and everything it includes into one file.
#
#   awk -v path="src . ..." -f src/tools/amalgamate.awk mlxk.c > paste.c
#
# 1. The order is mlxk.c's; there is no other list. A name is looked for beside the including file
#    (quoted form only), then along `path`; a name that is not found there belongs to the C system and stays.
# 2. A header with a guard, or one brought by #import, is pasted once. Inside an #if that may be false it
#    is pasted again where it is wanted next (its own guard decides); so that this stays rare, the
#    wrappers in vendor/ name their library's headers first, leaves before what includes them.
# 3. Every piece keeps its file name and line numbers by #line, so assertions and debuggers tell the
#    same, and the compiler makes the same bytes.
BEGIN { n_path = split(path, dirs, " ") }
FNR == 1 { paste(FILENAME, 0); exit }

function exists(file,   line, ok) {
    if (file in known) return known[file]
    ok = (getline line < file) >= 0
    if (ok) close(file)
    return known[file] = ok
}

function resolve(name, quoted, from,   dir, i) {
    if (quoted) {
        dir = from
        if (sub(/[^\/]*$/, "", dir) && exists(dir name)) return dir name
    }
    for (i = 1; i <= n_path; i++) {
        dir = dirs[i] == "." ? "" : dirs[i] "/"
        if (exists(dir name)) return dir name
    }
    return ""
}

# The guard's name when the file's first directive is #ifndef NAME (or #if !defined(NAME)) and the next defines it.
function guard_of(file,   line, name, seen) {
    if (file in guards) return guards[file]
    name = ""
    while ((getline line < file) > 0) {
        if (line !~ /^[ \t]*#/) continue
        gsub(/[ \t]+/, " ", line); sub(/^ /, "", line); sub(/^# /, "#", line)
        if (!seen) {
            if (line ~ /^#ifndef /) name = substr(line, 9)
            else if (line ~ /^#if !defined ?\(/) { name = line; sub(/^[^(]*\(/, "", name); sub(/\).*/, "", name) }
            else break
            sub(/ .*/, "", name)
            seen = 1
        } else { if (index(line, "#define " name) != 1) name = ""; break }
    }
    close(file)
    return guards[file] = name
}

function paste(file, maybe,   line, number, name, quoted, target, comment, depth) {
    depth = 0
    if (file ~ /_unit\.c$/) maybe = 0              # whoever needs a library stands under the same #if as its unit
    if (guard_of(file) != "") {
        depth = -1
        if (!maybe) pasted[file] = 1
    }
    if (banner(file)) print "/* ======== begin " file " ======== */"
    print "#line 1 \"" file "\""
    while ((getline line < file) > 0) {
        number++
        if (!comment && line ~ /^[ \t]*#[ \t]*(include|import)[ \t]*["<]/) {
            name = line
            sub(/^[ \t]*#[ \t]*(include|import)[ \t]*/, "", name)
            quoted = substr(name, 1, 1) == "\""
            name = substr(name, 2)
            sub(/[">].*/, "", name)
            target = resolve(name, quoted, file)
            if (target == "") { print line; continue }
            if (target in pasted) { print ""; continue }
            if (line ~ /#[ \t]*import/) pasted[target] = 1
            paste(target, maybe || depth > 0)
            print "#line " number + 1 " \"" file "\""
            continue
        }
        if (!comment && line ~ /^[ \t]*#[ \t]*if/) depth++
        if (!comment && line ~ /^[ \t]*#[ \t]*endif/) depth--
        print line
        comment = in_comment(line, comment)
    }
    close(file)
    if (banner(file)) print "/* ======== end " file " ======== */"
}

function banner(file) { return file ~ /\.c$/ }

# Whether a block comment is open behind this line; text in quotes is taken out first.
function in_comment(line, open,   at) {
    while (1) {
        if (open) {
            at = index(line, "*/")
            if (!at) return 1
            line = substr(line, at + 2)
            open = 0
        } else {
            at = match(line, /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'|\/\/|\/\*/)
            if (!at) return 0
            if (substr(line, at, 2) == "//") return 0
            if (substr(line, at, 2) == "/*") { open = 1; line = substr(line, at + 2) }
            else line = substr(line, at + RLENGTH)
        }
    }
}
