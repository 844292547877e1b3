# sbom.awk: what is inside the program, as SPDX 2.3 or CycloneDX 1.6 (POSIX awk). The same input gives the same bytes:
# times are the commit's, names come from the commit, nothing is random.
#
#   awk -v form=spdx|cdx -v version=... -v commit=... -v time=... -f sbom.awk vendor/lock SHA256SUMS
#
# From vendor/lock come the libraries with the hash of the archive they were taken from (the compiler too: its C library
# and runtime are inside; the TLS library that this build does not use is not); from SHA256SUMS the files of the release that carry the program.
FILENAME ~ /lock$/ && $1 == "library" && $2 != "bearssl" { order[++n] = $2; number[$2] = $3; licence[$2] = $4 }
FILENAME ~ /lock$/ && $1 == "way" && !($2 in hash) { hash[$2] = $5; where[$2] = $4 }
FILENAME !~ /lock$/ && length($1) == 64 && $2 ~ /-(linux|macos)$/ { file[++files] = $2; sum[files] = $1 }
function spdx_id(text) { gsub(/[^A-Za-z0-9.-]/, "-", text); return "SPDXRef-" text }
function purl(name,   w) {
    w = where[name]
    if (w ~ /==/) { sub(/==/, "@", w); return "pkg:pypi/" w }
    sub(/.*=/, "", w); gsub(/\+/, "%2B", w); gsub(/:/, "%3A", w)
    return "pkg:deb/debian/" substr(where[name], 1, index(where[name], "=") - 1) "@" w "?arch=source"
}
function spdx(   i) {
    printf "{\n \"spdxVersion\": \"SPDX-2.3\",\n \"dataLicense\": \"CC0-1.0\",\n \"SPDXID\": \"SPDXRef-DOCUMENT\",\n"
    printf " \"name\": \"mlxk-%s\",\n \"documentNamespace\": \"urn:mlxk:spdx:%s:%s\",\n", version, version, commit
    printf " \"creationInfo\": {\"created\": \"%s\", \"creators\": [\"Tool: mlxk-release\"]},\n \"packages\": [\n", time
    printf "  {\"SPDXID\": \"SPDXRef-mlxk\", \"name\": \"mlxk\", \"versionInfo\": \"%s\", \"downloadLocation\": \"NOASSERTION\", ", version
    printf "\"filesAnalyzed\": false, \"licenseConcluded\": \"Apache-2.0\", \"licenseDeclared\": \"Apache-2.0\", \"copyrightText\": \"NOASSERTION\", \"sourceInfo\": \"commit %s\"}", commit
    for (i = 1; i <= n; i++) {
        printf ",\n  {\"SPDXID\": \"%s\", \"name\": \"%s\", \"versionInfo\": \"%s\", \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false, ", \
            spdx_id(order[i]), order[i], number[order[i]]
        printf "\"licenseConcluded\": \"%s\", \"licenseDeclared\": \"%s\", \"copyrightText\": \"NOASSERTION\", ", licence[order[i]], licence[order[i]]
        printf "\"checksums\": [{\"algorithm\": \"SHA256\", \"checksumValue\": \"%s\"}], ", hash[order[i]]
        printf "\"externalRefs\": [{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"%s\"}]}", purl(order[i])
    }
    printf "\n ],\n \"files\": ["
    for (i = 1; i <= files; i++)
        printf "%s\n  {\"SPDXID\": \"%s\", \"fileName\": \"./%s\", \"checksums\": [{\"algorithm\": \"SHA256\", \"checksumValue\": \"%s\"}], \"licenseConcluded\": \"Apache-2.0\", \"copyrightText\": \"NOASSERTION\"}", \
            (i > 1 ? "," : ""), spdx_id(file[i]), file[i], sum[i]
    printf "\n ],\n \"relationships\": [\n  {\"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\", \"relatedSpdxElement\": \"SPDXRef-mlxk\"}"
    for (i = 1; i <= n; i++)
        printf ",\n  {\"spdxElementId\": \"SPDXRef-mlxk\", \"relationshipType\": \"CONTAINS\", \"relatedSpdxElement\": \"%s\"}", spdx_id(order[i])
    for (i = 1; i <= files; i++)
        printf ",\n  {\"spdxElementId\": \"%s\", \"relationshipType\": \"GENERATED_FROM\", \"relatedSpdxElement\": \"SPDXRef-mlxk\"}", spdx_id(file[i])
    printf "\n ]\n}\n"
}
function cdx(   i) {
    printf "{\n \"bomFormat\": \"CycloneDX\",\n \"specVersion\": \"1.6\",\n \"version\": 1,\n"
    printf " \"metadata\": {\"timestamp\": \"%s\", \"component\": {\"type\": \"application\", \"bom-ref\": \"mlxk\", \"name\": \"mlxk\", \"version\": \"%s\", ", time, version
    printf "\"licenses\": [{\"license\": {\"id\": \"Apache-2.0\"}}], \"properties\": [{\"name\": \"mlxk:commit\", \"value\": \"%s\"}]}},\n \"components\": [", commit
    for (i = 1; i <= n; i++)
        printf "%s\n  {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\", \"licenses\": [{\"license\": {\"id\": \"%s\"}}], \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"%s\"}]}", \
            (i > 1 ? "," : ""), order[i], order[i], number[order[i]], purl(order[i]), licence[order[i]], hash[order[i]]
    for (i = 1; i <= files; i++)
        printf "%s\n  {\"type\": \"file\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"%s\"}]}", \
            (n + i > 1 ? "," : ""), file[i], file[i], sum[i]
    printf "\n ],\n \"dependencies\": [{\"ref\": \"mlxk\", \"dependsOn\": ["
    for (i = 1; i <= n; i++) printf "%s\"%s\"", (i > 1 ? ", " : ""), order[i]
    printf "]}]\n}\n"
}
END { if (form == "spdx") spdx(); else cdx() }
