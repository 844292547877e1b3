/* rel_python.c: names of models as names in Python.
 *
 * 1. What comes out is a letter or '_', then letters, digits and '_': it can stand in code.
 * 2. A module is never called like a word of Python or a module of its standard library: that one
 *    would be found in its place.
 * 3. Two models may get the same name; who installs looks.
 */
#include "release/rel_int.h"

#include <stdio.h>

static const char rel_python_taken[] =
    " and as assert async await break case class continue def del elif else except false finally "
    "for from global if import in is lambda match none nonlocal not or pass raise return true try "
    "type while with yield "
    "abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb "
    "binascii bisect builtins bz2 cgi cgitb calendar chunk cmath cmd code codecs codeop "
    "collections colorsys compileall compression concurrent configparser contextlib contextvars "
    "copy copyreg cprofile crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis "
    "distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput "
    "fnmatch formatter fractions ftplib functools gc genericpath getopt getpass gettext glob "
    "graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect "
    "io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap "
    "marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt "
    "ntpath nturl2path numbers opcode operator optparse os ossaudiodev parser pathlib pdb pickle "
    "pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty "
    "pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib "
    "resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site "
    "smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse "
    "ssl stat statistics string stringprep struct subprocess sunau symbol symtable sys sysconfig "
    "syslog tabnanny tarfile telnetlib tempfile termios test textwrap this threading time timeit "
    "tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types "
    "typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg "
    "winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo "
    "mlxk pip setuptools wheel ";

static bool rel_python_is_taken(struct str name) {
    char word[REL_MAX_NAME + 4];
    int n = snprintf(word, sizeof word, " " STR_FMT " ", STR_ARG(name));
    return n > 0 && (size_t)n < sizeof word && strstr(rel_python_taken, word) != NULL;
}

static bool rel_python_is_digit(char c) { return c >= '0' && c <= '9'; }

MLXK_FN struct str rel_python_module(struct arena *a, struct str name) {
    char out[REL_MAX_NAME + 4];
    size_t n = 0;
    MLXK_ASSERT(name.n > 0 && name.n <= REL_MAX_NAME);
    if (rel_python_is_digit(name.p[0])) out[n++] = 'm';
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        out[n++] = (c >= 'a' && c <= 'z') || rel_python_is_digit(c) ? c : '_';
    }
    if (rel_python_is_taken((struct str){ out, n })) out[n++] = '_';
    return str_dup(a, (struct str){ out, n });
}

MLXK_FN struct str rel_python_class(struct arena *a, struct str name) {
    char out[REL_MAX_NAME + 4];
    size_t n = 0;
    bool up = true;
    MLXK_ASSERT(name.n > 0 && name.n <= REL_MAX_NAME);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = c >= 'a' && c <= 'z', digit = rel_python_is_digit(c);
        if (!letter && !digit) {
            up = true;
            continue;
        }
        if (digit && !n) out[n++] = 'M';
        else if (digit && up) out[n++] = '_';
        out[n++] = letter && up ? (char)(c - 32) : c;
        up = false;
    }
    if (!n) out[n++] = 'M';
    struct str made = { out, n };
    if (str_eq(made, STR("None")) || str_eq(made, STR("True")) || str_eq(made, STR("False")))
        out[n++] = '_';
    return str_dup(a, (struct str){ out, n });
}

MLXK_FN struct str rel_python_version(struct arena *a, const struct rel_version *v) {
    struct str text = rel_version_text(a, v);
    char *out = str_dup_cstr(a, text);
    for (size_t i = 0; out && i < text.n; i++) {
        char c = out[i];
        if (c >= 'A' && c <= 'Z') out[i] = (char)(c + 32);
        else if (!((c >= 'a' && c <= 'z') || rel_python_is_digit(c))) out[i] = '_';
    }
    return str_cstr(out);
}
