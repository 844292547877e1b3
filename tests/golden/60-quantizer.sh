#!/bin/sh
# convert --quantize and --dequantize on the inputs of golden/quantizer: every mode, bits and group, byte for byte what the
# reference implementation gives on the CPU.
python3 tests/golden/check.py --mlxk "$MLXK" --what quantizer --verbose > "$T/log" 2>&1
status=$?
# One line of TAP for each mode, bits and group; the failures in full.
awk '/^FAIL/ { bad[$2 " " $3 " " $4] = 1; print "# " $0 } /^(ok|FAIL) / { seen[$2 " " $3 " " $4] = 1 }
    END { for (k in seen) { n = k; gsub(/ /, "_", n); print (k in bad ? "not ok " : "ok ") "golden/" n } }' "$T/log"
cases=$(grep -c '^ok .* weight$' "$T/log")    # all but four that the reference itself gets wrong (its exponents wrap around)
if [ "$cases" = 695 ]; then echo "ok golden/quantizer_all_cases"; else echo "not ok golden/quantizer_all_cases"; echo "# $cases cases"; fi
if [ $status = 0 ]; then echo "ok golden/quantizer_checked"; else echo "not ok golden/quantizer_checked"; tail -n 3 "$T/log" | sed 's/^/# /'; fi
