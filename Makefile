# Short names for the verbs of build.sh; `make help` explains them.
VERBS = debug dev asan asan-cli ubsan tsan test quick long long-tests fuzz coverage lint objects amalgamation repro cross bench size demo dist clean distclean fetch help

all:
	@./build.sh

$(VERBS):
	@./build.sh $@

.PHONY: all $(VERBS)
