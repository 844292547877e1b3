# notes.awk: release notes out of the section "Unreleased" of CHANGELOG.md (POSIX awk).
#
#   awk -v title=... -v ready=... -v upgrade=... -v counts=... -v record=... -f notes.awk CHANGELOG.md
#
# Subsections Summary, Added, Changed, Fixed, Documentation, Breaking, Deprecated, Behaviour, Upgrade and
# "Known issues" go where docs/releases/TEMPLATE.md has them; a head with nothing to say says so.
/^## / { inside = ($0 == "## Unreleased"); part = "Summary"; next }
inside && /^### / { part = substr($0, 5); next }
inside && NF {
    text[part] = text[part] $0 "\n"
    if ($0 ~ /^- /) count[part]++
}
function say(head, body) { printf "\n%s\n%s", head, body == "" ? "None.\n" : body }
function many(n, one, more) { return n + 0 " " (n == 1 ? one : more) }
END {
    summary = text["Summary"]
    if (summary == "")
        summary = many(count["Added"], "addition", "additions") ", " many(count["Changed"], "change", "changes") " and " \
            many(count["Fixed"], "fix", "fixes") " since the release before.\n"
    print "# " title
    say("## What is new", summary)
    say("## Features", text["Added"])
    say("## Documentation", text["Documentation"])
    say("## Technical improvements", text["Changed"] text["Fixed"] counts "\n")
    say("## Ready for production", ready "\n")
    printf "\n## Breaking\n"
    say("### Hard", text["Breaking"])
    say("### Deprecated", text["Deprecated"])
    say("### Behaviour", text["Behaviour"])
    say("## Upgrade", text["Upgrade"] upgrade "\n")
    say("## Known issues", text["Known issues"])
    say("## Checksums", "The row of this tag in docs/releases.tsv, written right after the release commit, and SHA256SUMS of the bundle.\n")
    say("## Record", record "\n")
}
