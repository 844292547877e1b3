# unicode.awk: the Unicode Character Database as small C tables for src/tokenizer/tok_unicode.c.
#
#   awk -v dir=FOLDER -v version=TEXT -f src/tools/unicode.awk > tok_unicode_tables.h
#
# FOLDER holds UnicodeData.txt, PropList.txt, Scripts.txt, DerivedAge.txt and
# DerivedNormalizationProps.txt. POSIX awk only: no strtonum, no multi-byte strings.
#
# 1. Categories are those of Unicode 16.0, which the regular expressions of the tokenizers in use
#    follow: what 16.0 has more than 15.1 is the list ADDED below, to be deleted when FOLDER is 16.0.
# 2. Normalization knows only characters of Unicode 9.0 and older (NORM_AGE), because the
#    normalizers of the tokenizers in use stop there: younger characters pass through unchanged.
# 3. BERT's rules for words know the categories of Unicode 8.0 (WORD_AGE): where the answer for
#    punctuation, nonspacing marks or invisible characters was another one then, tok_gc8_runs has it.
# 4. White_Space is not a table: the rule in tok_is_space is compared with PropList.txt here.

BEGIN {
    NORM_AGE = 9
    WORD_AGE = 8
    CHANGED = "166D:Po 1734:Mn 1885-1886:Lo A9BD:Mc 111C9:Po 1171E:Mn"      # categories that 8.0 had
    BLOCK = 256
    ADDED = \
        "0897:Mn 1B4E-1B4F:Po 1B7F:Po 1C89:Lu 1C8A:Ll 2427-2429:So 31E4-31E5:So A7CB-A7CC:Lu " \
        "A7CD:Ll A7DA:Lu A7DB:Ll A7DC:Lu 105C0-105F3:Lo 10D40-10D49:Nd 10D4A-10D4D:Lo 10D4E:Lm " \
        "10D4F:Lo 10D50-10D65:Lu 10D69-10D6D:Mn 10D6E:Pd 10D6F:Lm 10D70-10D85:Ll 10D8E-10D8F:Sm " \
        "10EC2-10EC4:Lo 10EFC:Mn 11380-11389:Lo 1138B:Lo 1138E:Lo 11390-113B5:Lo 113B7:Lo " \
        "113B8-113BA:Mc 113BB-113C0:Mn 113C2:Mc 113C5:Mc 113C7-113CA:Mc 113CC-113CD:Mc 113CE:Mn " \
        "113CF:Mc 113D0:Mn 113D1:Lo 113D2:Mn 113D3:Lo 113D4-113D5:Po 113D7-113D8:Po " \
        "113E1-113E2:Mn 116D0-116E3:Nd 1171E:Mc 11BC0-11BE0:Lo 11BE1:Po 11BF0-11BF9:Nd 11F5A:Mn " \
        "13460-143FA:Lo 16100-1611D:Lo 1611E-16129:Mn 1612A-1612C:Mc 1612D-1612F:Mn " \
        "16130-16139:Nd 16D40-16D42:Lm 16D43-16D6A:Lo 16D6B-16D6C:Lm 16D6D-16D6F:Po " \
        "16D70-16D79:Nd 18CFF:Lo 1CC00-1CCEF:So 1CCF0-1CCF9:Nd 1CD00-1CEB3:So 1E5D0-1E5ED:Lo " \
        "1E5EE-1E5EF:Mn 1E5F0:Lo 1E5F1-1E5FA:Nd 1E5FF:Po 1F8B2-1F8BB:So 1F8C0-1F8C1:So 1FA89:So " \
        "1FA8F:So 1FABE:So 1FAC6:So 1FADC:So 1FADF:So 1FAE9:So 1FBCB-1FBEF:So "

    for (i = 0; i < 16; i++) { HEX[substr("0123456789ABCDEF", i + 1, 1)] = i; HEX[substr("0123456789abcdef", i + 1, 1)] = i }
    n = split("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn", cats, " ")
    for (i = 1; i <= n; i++) CAT[cats[i]] = i - 1
    CN = CAT["Cn"]

    read_ages()
    read_exclusions()
    read_data()
    read_added()
    check_spaces()

    print "/* Made by src/tools/unicode.awk from the Unicode Character Database " version "; do not edit. */"
    print_categories()
    print_scripts()
    print_case("lower", LOWER)
    print_case("upper", UPPER)
    print_classes()
    print_decompositions()
    print_young_marks()
    print_changed()
    if (failed) exit 1
}

function hex(s,   i, v) {
    v = 0
    for (i = 1; i <= length(s); i++) v = v * 16 + HEX[substr(s, i, 1)]
    return v
}

function fail(text) { print "unicode.awk: " text > "/dev/stderr"; failed = 1 }

function open_file(name) { path = dir "/" name; return path }

# next_range: the next "FIRST..LAST ; VALUE" row of `path` into r_first, r_last, r_value; 0 at the end.
function next_range(path,   line, part, ends, status) {
    while ((status = (getline line < path)) > 0) {
        sub(/#.*/, "", line)
        if (line !~ /;/) continue
        split(line, part, ";")
        gsub(/[ \t]/, "", part[1]); gsub(/[ \t]/, "", part[2])
        ends[2] = ""
        split(part[1], ends, /\.\./)
        r_first = hex(ends[1])
        r_last = ends[2] == "" ? r_first : hex(ends[2])
        r_value = part[2]
        return 1
    }
    if (status < 0) fail("cannot read " path)
    close(path)
    return 0
}

function read_ages(   path, c) {
    path = open_file("DerivedAge.txt")
    while (next_range(path)) {
        if (r_last - r_first > 10000) continue
        if (r_value + 0 > WORD_AGE) for (c = r_first; c <= r_last; c++) YOUNG[c] = 1
        if (r_value + 0 > NORM_AGE) continue
        for (c = r_first; c <= r_last; c++) OLD[c] = 1
    }
}

function read_exclusions(   path, c) {
    path = open_file("DerivedNormalizationProps.txt")
    while (next_range(path))
        if (r_value == "Full_Composition_Exclusion")
            for (c = r_first; c <= r_last; c++) EXCLUDED[c] = 1
}

function read_data(   path, line, f, c, first, status) {
    path = open_file("UnicodeData.txt")
    while ((status = (getline line < path)) > 0) {
        split(line, f, ";")
        c = hex(f[1])
        if (f[2] ~ /First>$/) { first = c; continue }
        if (f[2] ~ /Last>$/) { add_category(first, c, CAT[f[3]]); continue }
        add_category(c, c, CAT[f[3]])
        if (f[13] != "") UPPER[c] = hex(f[13])
        if (f[14] != "") LOWER[c] = hex(f[14])
        if (!(c in OLD)) continue
        if (f[4] + 0 > 0) { ccc_at[++n_ccc] = c; ccc[n_ccc] = f[4] + 0 }
        if (f[6] != "") { dec_at[++n_dec] = c; dec[n_dec] = f[6] }
    }
    if (status < 0) fail("cannot read " path)
    close(path)
}

# Categories are kept as runs for big ranges and singly for the rest.
function add_category(first, last, cat,   c, b) {
    for (c = first; c <= last; c++) {
        if (c % BLOCK == 0 && c + BLOCK - 1 <= last) { WHOLE[c / BLOCK] = cat; c += BLOCK - 1; continue }
        GC[c] = cat
        b = int(c / BLOCK); MIXED[b] = 1
    }
}

# One row "FIRST[-LAST]:Category" into r_first, r_last, r_value.
function split_row(row,   part, ends) {
    split(row, part, ":")
    if (split(part[1], ends, "-") == 1) ends[2] = ends[1]
    r_first = hex(ends[1])
    r_last = hex(ends[2])
    r_value = CAT[part[2]]
}

function read_added(   n, row, i, c) {
    n = split(ADDED, row, " ")
    for (i = 1; i <= n; i++) {
        split_row(row[i])
        add_category(r_first, r_last, r_value)
        for (c = r_first; c <= r_last; c++) YOUNG[c] = 1
    }
    n = split(CHANGED, row, " ")
    for (i = 1; i <= n; i++) {
        split_row(row[i])
        for (c = r_first; c <= r_last; c++) WAS[c] = r_value
    }
}

function category(c) { return (c in GC) ? GC[c] : (int(c / BLOCK) in WHOLE) ? WHOLE[int(c / BLOCK)] : CN }

function check_spaces(   path, c, g, n, want) {
    path = open_file("PropList.txt")
    while (next_range(path))
        if (r_value == "White_Space") for (c = r_first; c <= r_last; c++) { SPACE[c] = 1; want++ }
    for (c = 0; c < 65536; c++) {
        g = category(c)
        if ((g >= CAT["Zs"] && g <= CAT["Zp"]) || (c >= 9 && c <= 13) || c == 133) {
            n++
            if (!(c in SPACE)) fail("the rule for White_Space takes in " c)
        }
    }
    if (n != want) fail("the rule for White_Space finds " n " characters of " want)
}

# ---- output --------------------------------------------------------------------------------------

function list_begin(text) { print text " = {"; line_out = "" }
function list_add(text) {
    if (length(line_out) + length(text) > 96) { print "    " line_out; line_out = "" }
    line_out = line_out text ","
}
function list_end() { if (line_out != "") print "    " line_out; print "};" }

function print_categories(   b, key, i, n_blocks, order) {
    n_blocks = 0
    for (b = 0; b < 1114112 / BLOCK; b++) {
        if (b in MIXED) {
            key = ""
            for (i = 0; i < BLOCK; i++) key = key category(b * BLOCK + i) ","
        } else {
            key = repeat(((b in WHOLE) ? WHOLE[b] : CN) ",", BLOCK)
        }
        if (!(key in seen_block)) { seen_block[key] = n_blocks; order[n_blocks++] = key }
        index_of[b] = seen_block[key]
    }
    if (n_blocks > 256) fail("more than 256 category blocks")
    print "enum { TOK_GC_BLOCK = " BLOCK " };"
    list_begin("static const uint8_t tok_gc_index[" 1114112 / BLOCK "]")
    for (b = 0; b < 1114112 / BLOCK; b++) list_add(index_of[b])
    list_end()
    list_begin("static const uint8_t tok_gc_block[" n_blocks "][" BLOCK "]")
    for (b = 0; b < n_blocks; b++) print "    {" order[b] "},"
    list_end()
}

function repeat(s, n,   t) { t = ""; while (n-- > 0) t = t s; return t }

# Scripts: runs in code point order; Common and Inherited are what is left over.
function print_scripts(   path, n, i, names, n_names, at) {
    path = open_file("Scripts.txt")
    n = 0
    while (next_range(path)) {
        if (r_value == "Common" || r_value == "Inherited") continue
        if (!(r_value in script_no)) { script_no[r_value] = n_names; names[n_names++] = r_value }
        first_of[++n] = r_first; last_of[n] = r_last; value_of[n] = script_no[r_value]
    }
    sort_ranges(n)
    list_begin("static const char *const tok_script_name[" n_names "]")
    for (i = 0; i < n_names; i++) list_add("\"" names[i] "\"")
    list_end()
    print "struct tok_script_run { uint32_t first, last_script; };   /* last << 8 | script */"
    list_begin("static const struct tok_script_run tok_script_runs[]")
    at = 1
    for (i = 2; i <= n + 1; i++) {
        if (i <= n && value_of[i] == value_of[at] && first_of[i] == last_of[at] + 1) { last_of[at] = last_of[i]; continue }
        list_add("{" first_of[at] "," last_of[at] * 256 + value_of[at] "}")
        at = i
    }
    list_end()
}

function sort_ranges(n,   gap, i, j, a, b, c) {
    for (gap = int(n / 2); gap > 0; gap = int(gap / 2))
        for (i = gap + 1; i <= n; i++) {
            a = first_of[i]; b = last_of[i]; c = value_of[i]
            for (j = i - gap; j >= 1 && first_of[j] > a; j -= gap) {
                first_of[j + gap] = first_of[j]; last_of[j + gap] = last_of[j]; value_of[j + gap] = value_of[j]
            }
            first_of[j + gap] = a; last_of[j + gap] = b; value_of[j + gap] = c
        }
}

# Case mappings: runs with a common distance whose characters follow each other by 1 or by 2.
function print_case(name, map,   c, first, last, step, delta) {
    if (name == "lower") print "struct tok_case_run { uint32_t first, last; int32_t delta, step; };"
    list_begin("static const struct tok_case_run tok_" name "_runs[]")
    first = -1
    for (c = 0; c < 131072; c++) {
        if (!(c in map)) continue
        if (first >= 0 && map[c] - c == delta && (c - last == step || (first == last && c - last <= 2))) {
            step = c - last; last = c
            continue
        }
        if (first >= 0) list_add("{" first "," last "," delta "," step "}")
        first = last = c; step = 1; delta = map[c] - c
    }
    list_add("{" first "," last "," delta "," step "}")
    list_end()
}

# Canonical combining classes: runs.
function print_classes(   i, at) {
    print "struct tok_ccc_run { uint32_t first; uint16_t count, ccc; };"
    list_begin("static const struct tok_ccc_run tok_ccc_runs[]")
    at = 1
    for (i = 2; i <= n_ccc + 1; i++) {
        if (i <= n_ccc && ccc[i] == ccc[at] && ccc_at[i] == ccc_at[at] + (i - at)) continue
        list_add("{" ccc_at[at] "," i - at "," ccc[at] "}")
        at = i
    }
    list_end()
}

# Decompositions, one level each, as UTF-16 units in a shared pool.
# key: code point | compatibility << 21 | number of units << 22.
function print_decompositions(   i, n, cp, k, text, units, compat, c, v, pool, p, n_pairs) {
    pool = ""; n_pool = 0
    for (i = 1; i <= n_dec; i++) {
        text = dec[i]
        compat = sub(/^<[^>]*> */, "", text)
        n = split(text, cp, " ")
        units = ""
        count = 0
        for (k = 1; k <= n; k++) {
            v = hex(cp[k])
            if (v >= 65536) {
                v -= 65536
                units = units sprintf("%04X ", 55296 + int(v / 1024)) sprintf("%04X ", 56320 + v % 1024); count += 2
            } else { units = units sprintf("%04X ", v); count++ }
        }
        p = place_of(units)
        offset_of[i] = p
        key_of[i] = dec_at[i] + compat * 2097152 + count * 4194304
        if (!compat && n == 2 && !(dec_at[i] in EXCLUDED)) {
            pair[++n_pairs] = i - 1
            pair_key[n_pairs] = hex(cp[1]) * 2097152 + hex(cp[2])
        }
    }
    sort_pairs(n_pairs)
    list_begin("static const uint32_t tok_dec_key[" n_dec "]")
    for (i = 1; i <= n_dec; i++) list_add(sprintf("%.0f", key_of[i]))
    list_end()
    list_begin("static const uint16_t tok_dec_offset[" n_dec "]")
    for (i = 1; i <= n_dec; i++) list_add(offset_of[i])
    list_end()
    list_begin("static const uint16_t tok_dec_pool[" n_pool "]")
    for (i = 0; i < n_pool; i++) list_add("0x" pool_unit[i])
    list_end()
    print "/* Entries above that compose, sorted by (first, second). */"
    list_begin("static const uint16_t tok_comp_entry[" n_pairs "]")
    for (i = 1; i <= n_pairs; i++) list_add(pair[i])
    list_end()
}

# Marks that normalization does not know yet.
function print_young_marks(   c, g, first) {
    list_begin("static const struct tok_mark_run { uint32_t first, last; } tok_young_marks[]")
    first = -1
    for (c = 0; c < 131072 + 1; c++) {
        g = category(c)
        if (g >= CAT["Mn"] && g <= CAT["Me"] && !(c in OLD)) { if (first < 0) first = c; continue }
        if (first >= 0) list_add("{" first "," c - 1 "}")
        first = -1
    }
    list_end()
}

function print_changed(   c, g, was, first, before) {
    list_begin("static const struct tok_gc8_run { uint32_t first, last, gc; } tok_gc8_runs[]")
    before = -1
    for (c = 0; c < 131072 + 1; c++) {
        g = category(c)
        was = -1
        if (c in WAS) was = WAS[c]
        else if ((c in YOUNG) && (g == CAT["Mn"] || g == CAT["Cf"] || (g >= CAT["Pc"] && g <= CAT["Po"]))) was = CN
        if (was == before) continue
        if (before >= 0) list_add("{" first "," c - 1 "," before "}")
        first = c
        before = was
    }
    list_end()
}

# place_of: where `units` lie in the pool, added at its end when they are nowhere yet.
function place_of(units,   p, n, u, i) {
    if (units in placed) return placed[units]
    n = split(units, u, " ")
    p = find_units(u, n)
    if (p < 0) {
        p = n_pool
        for (i = 1; i <= n; i++) { pool_unit[n_pool] = u[i]; places[u[i]] = places[u[i]] " " n_pool; n_pool++ }
    }
    placed[units] = p
    return p
}

function find_units(u, n,   m, at, k, i, p) {
    m = split(places[u[1]], at, " ")
    for (k = 1; k <= m; k++) {
        p = at[k] + 0
        for (i = 2; i <= n && p + i - 1 < n_pool && pool_unit[p + i - 1] == u[i]; i++) {}
        if (i > n) return p
    }
    return -1
}

function sort_pairs(n,   gap, i, j, a, b) {
    for (gap = int(n / 2); gap > 0; gap = int(gap / 2))
        for (i = gap + 1; i <= n; i++) {
            a = pair[i]; b = pair_key[i]
            for (j = i - gap; j >= 1 && pair_key[j] > b; j -= gap) { pair[j + gap] = pair[j]; pair_key[j + gap] = pair_key[j] }
            pair[j + gap] = a; pair_key[j + gap] = b
        }
}
