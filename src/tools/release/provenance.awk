# provenance.awk: where a release's files come from: an in-toto Statement v1 with a SLSA v1 provenance (POSIX awk). The
# same input gives the same bytes: no time, no host, no run stands in it.
#
#   awk -v version=... -v commit=... -v compiler=... -f provenance.awk vendor/lock SHA256SUMS
FILENAME ~ /lock$/ && $1 == "library" && $2 != "bearssl" { order[++n] = $2; number[$2] = $3 }
FILENAME ~ /lock$/ && $1 == "way" && !($2 in hash) { hash[$2] = $5 }
FILENAME !~ /lock$/ && length($1) == 64 { file[++files] = $2; sum[files] = $1 }
END {
    printf "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":["
    for (i = 1; i <= files; i++)
        printf "%s{\"name\":\"%s\",\"digest\":{\"sha256\":\"%s\"}}", (i > 1 ? "," : ""), file[i], sum[i]
    printf "],\"predicateType\":\"https://slsa.dev/provenance/v1\",\"predicate\":{\"buildDefinition\":{"
    printf "\"buildType\":\"urn:mlxk:build.sh:dist:1\",\"externalParameters\":{\"version\":\"%s\"},", version
    printf "\"internalParameters\":{\"compiler\":\"%s\"},\"resolvedDependencies\":[", compiler
    printf "{\"uri\":\"git+urn:mlxk:source\",\"digest\":{\"gitCommit\":\"%s\"}}", commit
    for (i = 1; i <= n; i++)
        printf ",{\"uri\":\"urn:mlxk:vendored:%s:%s\",\"digest\":{\"sha256\":\"%s\"}}", order[i], number[order[i]], hash[order[i]]
    printf "]},\"runDetails\":{\"builder\":{\"id\":\"urn:mlxk:release.sh\"}}}}\n"
}
