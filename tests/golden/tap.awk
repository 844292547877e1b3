# tap.awk: check.py's --verbose lines as TAP. Cases that were left out are told as comments.
/^ok / { $1 = ""; gsub(/ +/, "_"); print "ok golden/" substr($0, 2); next }
/^FAIL / { line = $0; $1 = ""; name = $2 "_" $3 "_" $4; print "not ok golden/" name; print "# " line; next }
{ print "# " $0 }
