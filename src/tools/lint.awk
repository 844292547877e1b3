# lint.awk: the rules of the house that a compiler does not know.
#
#   awk -f src/tools/lint.awk src/tools/layers.txt FILES...      (FILES: src/*/*.c src/*/*.h)
#
# Prints "file:line: rule: what" for each offence and ends with status 1 when there was one.
# layers     an include of a room that layers.txt does not allow, or of another room's _int.h
# vendor     a library's header outside its one adapter
# system     a system header outside base, platform, net and kernels
# condition  an #if on an operating system or CPU outside platform and kernels
# prefix     a function, macro, type or file-level object whose name starts with neither a prefix of the
#            room nor the file's stem (whole, or what follows its first underscore)
# macro      a macro with a name of one letter, or one that a .c file neither undefines nor prefixes
# banned     a call that this house does not make (see `banned` and `only_in` below)
# contract   a cross-file function that no comment in its header speaks about; a file without a header comment
# text       TODO without an issue number, commented-out code, trailing space, tab, over 100 columns (characters)

BEGIN {
    prefixes["base"] = "arena mem str buf map err log utf8 num base64 mlxk limit"
    prefixes["platform"] = "os cpu sha256 sha1 sha512 gcm mlxk"
    prefixes["version"] = "ver semver"
    prefixes["format"] = "safet gguf tar lz4 dtype format"
    prefixes["net"] = "net tls http httpd url sse gzip mbedtls_psa_external"   # the last is what mbedTLS asks us for
    prefixes["kernels"] = "k"
    prefixes["tokenizer"] = "tok"
    prefixes["template"] = "tmpl"
    prefixes["model"] = "model arch"
    prefixes["convert"] = "conv"
    prefixes["release"] = "rel"
    prefixes["engine"] = "eng engine"
    prefixes["serve"] = "serve mirror metrics"
    prefixes["cli"] = "cli cmd"
    adapter["mbedtls"] = adapter["psa"] = "src/net/tls_mbed.c src/sign/sign_mbed.c"
    adapter["bearssl"] = "src/net/tls_bear.c src/sign/sign_bear.c"
    adapter["libsodium"] = "src/net/tls_mbed.c src/sign/sign_ed25519.c"
    adapter["cJSON"] = "src/json/json_read.c"
    adapter["zlib"] = "src/net/gzip.c"
    adapter["linenoise"] = "src/cli/cli_line.c"
    split("strcpy strcat sprintf vsprintf strtok gets atoi atol atof alloca setjmp longjmp system popen rand srand tmpnam mktemp", list, " ")
    for (i in list) banned[list[i]] = 1
    only_in["malloc"] = only_in["calloc"] = only_in["realloc"] = "^src/base/arena\\.c$"
    only_in["free"] = "^src/(base/arena|cli/cli_line)\\.c$"     # the line editor gives out the C library's memory
    only_in["getenv"] = only_in["open"] = only_in["fopen"] = only_in["unlink"] = only_in["rename"] = "^src/platform/"
    only_in["printf"] = only_in["fprintf"] = only_in["puts"] = only_in["fputs"] = "^src/(base/(err|log)\\.c|platform/|cli/)"
    only_in["exit"] = "^src/(platform|cli)/"
    only_in["abort"] = "^src/(base/err\\.c|platform/)"
}

function offend(rule, what) { printf "%s:%d: %s: %s\n", FILENAME, FNR, rule, what; n_offences++ }

# The table of rooms comes first.
FILENAME ~ /layers\.txt$/ {
    if ($0 !~ /^#/ && NF >= 2) { rooms[$1] = 1; may[$1, $1] = 1; for (i = 3; i <= NF; i++) may[$1, $i] = 1 }
    next
}

FNR == 1 {
    finish_file()
    file = FILENAME
    n = split(file, part, "/")
    room = part[n - 1]; name = part[n]; stem = name; sub(/\.[ch]$/, "", stem)
    is_header = name ~ /\.h$/
    tail = stem; sub(/^[a-z0-9]+_/, "", tail)
    n_prefix = split((room in prefixes ? prefixes[room] : room) " " stem " " tail, prefix, " ")
    comment = 0; block_has_comment = 0; brace = 0; include_guard = ""
    if (index($0, "/* " name ":") != 1) offend("contract", "a file opens with \"/* " name ": what it is for\"")
    if (!(room in rooms)) offend("layers", "room '" room "' is not in layers.txt")
}

# An adapter may include what its library makes necessary.
function is_adapter(word) { return index(" " adapter[word] " ", " " FILENAME " ") > 0 }
function word_adapter(   k) { for (k in adapter) if (is_adapter(k)) return 1; return 0 }

function finish_file(   m) {
    for (m in open_macro) {
        printf "%s:%d: macro: %s is neither undefined at the end nor prefixed\n", file, open_macro[m], m
        n_offences++
    }
    split("", open_macro)
}

function has_prefix(word,   i, low) {
    low = tolower(word)
    for (i = 1; i <= n_prefix; i++)
        if (low == prefix[i] || index(low, prefix[i] "_") == 1 || index(low, tolower(prefix[i]) "_") == 1) return 1
    return 0
}

# Code without comments and strings; keeps track of open block comments.
function code_of(line,   at, out) {
    out = ""
    while (1) {
        if (comment) {
            at = index(line, "*/")
            if (!at) return out
            line = substr(line, at + 2); comment = 0
        }
        at = match(line, /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'|\/\/|\/\*/)
        if (!at) return out line
        out = out substr(line, 1, at - 1)
        if (substr(line, at, 2) == "//") { had_comment = 1; return out }
        if (substr(line, at, 2) == "/*") { had_comment = 1; comment = 1; line = substr(line, at + 2) }
        else { out = out "\"\""; line = substr(line, at + RLENGTH) }
    }
}

function columns(text,   copy) { copy = text; return length(copy) - gsub(/[\200-\277]/, "", copy) }

{
    if ($0 ~ /[ \t]$/) offend("text", "trailing space")
    if ($0 ~ /\t/) offend("text", "tab")
    if (columns($0) > 100) offend("text", columns($0) " columns")
    if ($0 ~ /(TODO|FIXME)/ && $0 !~ /(TODO|FIXME)\(#[0-9]+\)/) offend("text", "TODO without an issue number, as in TODO(#12)")
    if ($0 ~ /^[ \t]*\/\/.*[;{}][ \t]*$/) offend("text", "commented-out code")
    had_comment = comment
    code = code_of($0)
    if ($0 ~ /^[ \t]*$/) { if (block_has_code) block_has_comment = 0; block_has_code = 0 }
    if (had_comment) block_has_comment = 1
    if (code ~ /[^ \t]/) block_has_code = 1
}

code ~ /^[ \t]*#[ \t]*include/ {
    target = $0
    if (target ~ /</) {
        sub(/^[^<]*</, "", target); sub(/>.*/, "", target)
        word = target; sub(/[\/.].*/, "", word)
        if (word in adapter) { if (!is_adapter(word)) offend("vendor", "<" target "> belongs into " adapter[word]) }
        else if (room !~ /^(base|platform|net|kernels)$/ && target !~ /^(math|inttypes|stdatomic|stdio|stdlib|build_info)\.h$/ && !(word_adapter()))
            offend("system", "<" target "> belongs into base or platform")
        next
    }
    sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    if (split(target, t, "/") == 2 && t[1] in rooms) {
        if (!((room, t[1]) in may)) offend("layers", room " may not include " target)
        if (t[1] != room && t[2] ~ /_int\.h$/) offend("layers", target " is private to its room")
    }
    next
}

code ~ /^[ \t]*#[ \t]*(if|elif|ifdef|ifndef)/ {
    if (code ~ /__(linux|APPLE|unix)__|_WIN32|__ANDROID__/ && room != "platform" && name != "config.h") offend("condition", "operating systems differ only in platform/")
    if (code ~ /__(x86_64|aarch64|arm|AVX|SSE|ARM)[A-Za-z0-9_]*/ && room !~ /^(platform|kernels)$/) offend("condition", "CPUs differ only in platform/ and kernels/")
    if (is_header && include_guard == "" && code ~ /ifndef/) { include_guard = $2 }
    next
}

code ~ /^[ \t]*#[ \t]*define/ {
    word = code; sub(/^[ \t]*#[ \t]*define[ \t]+/, "", word); sub(/[^A-Za-z0-9_].*/, "", word)
    if (length(word) == 1) offend("macro", "macro '" word "' has one letter")
    if (word == include_guard || word == "_GNU_SOURCE" || word == "_DARWIN_C_SOURCE" || word == "__FILE_NAME__") next
    if (!has_prefix(word)) {
        if (is_header) offend("prefix", "macro " word)
        else open_macro[word] = FNR
    }
    next
}
code ~ /^[ \t]*#[ \t]*undef/ { word = $2; sub(/[^A-Za-z0-9_].*/, "", word); delete open_macro[word]; next }
code ~ /^[ \t]*#/ { next }

{   # calls
    rest = code
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ ]*\(/)) {
        word = substr(rest, RSTART, RLENGTH); sub(/[ ]*\($/, "", word)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : ""
        arrow = RSTART > 2 ? substr(rest, RSTART - 2, 2) : ""
        if (before != "." && arrow != "->") {
            if (word in banned) offend("banned", word "()")
            if (word in only_in && FILENAME !~ only_in[word]) offend("banned", word "() outside " only_in[word])
        }
        rest = substr(rest, RSTART + RLENGTH)
    }
}

# File level: names of functions, types and objects.
brace == 0 && code ~ /^[A-Za-z_]/ && code !~ /^(extern|typedef struct|_Static_assert|MLXK_|X\()/ { check_name(code) }
brace == 0 && code ~ /^MLXK_FN/ {
    check_name(code)
    if (is_header && name !~ /_int\.h$/ && !block_has_comment) offend("contract", "no comment speaks about " declared(code))
}
{
    opens = gsub(/{/, "{", code); closes = gsub(/}/, "}", code)
    brace += opens - closes
    if (brace < 0) brace = 0
}

# declared CODE: the name that a file-level line declares, '' when it declares none.
function declared(text,   word) {
    if (text ~ /^[^(]*(struct|union|enum) *{/ || text ~ /\(\*/ || text ~ /^struct [a-z0-9_]+;/) return ""
    if (text ~ /^[^=]*\(/ && text !~ /^[^(]*[{=;]/) {
        word = text
        sub(/^(.*__attribute__\(\([^)]*\)\)|_Alignas\([^)]*\)) */, "", word)
        sub(/\(.*/, "", word)
        sub(/[ ]+$/, "", word)
        sub(/^.*[ *]/, "", word)
        return word
    }
    if (text ~ /^(static )?(const )?(struct|enum|union) [A-Za-z0-9_]+ *({|;|$)/) {
        word = text; sub(/^(static )?(const )?(struct|enum|union) /, "", word); sub(/[^A-Za-z0-9_].*/, "", word)
        return word
    }
    if (text ~ /[=;[]/) {
        word = text; sub(/[=;[].*/, "", word); sub(/[ ]+$/, "", word); sub(/^.*[ *]/, "", word)
        return word
    }
    return ""
}

function check_name(text,   word) {
    word = declared(text)
    if (word == "" || word == "main" || word ~ /^(struct|enum|union|static|const)$/) return
    if (word !~ /^[A-Za-z_]/) return
    if (!has_prefix(word)) offend("prefix", word " starts with neither a prefix of " room "/ nor " stem "_")
}

END {
    finish_file()
    printf "lint: %d offences\n", n_offences > "/dev/stderr"
    exit n_offences > 0
}
