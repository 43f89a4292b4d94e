# SPDX-License-Identifier: MIT
#
# The commands of daily work; meson and the scripts do it. `make` builds and installs nothing.
#
#   make               build/kiln and build/kiln-riscv64; build/kiln-opt where LLVM 19 is found
#   make deps          installs the Debian packages that are missing (scripts/dependencies.txt)
#   make demo          everything from a fresh machine to Debian's riscv64 programs that run
#   make check         all tests, their short form (make check SUITES="unit abi": these alone)
#   make check-long    the long form: hours
#   make soak          language runtimes, 100 times each: an hour and a half; writes docs/soak.md
#   make tsan          Kiln under ThreadSanitizer, with the programs about threads and signals
#   make bench         kiln, qemu-riscv64 and native side by side
#   make install       kiln, kiln-riscv64, kiln-opt, their manual page and completion, below $(DESTDIR)$(PREFIX)
#   make sanitized     unit tests and kiln with AddressSanitizer and UBSan, as `make check` uses them
#   make clang         everything by clang, warnings as errors
#   make format lint   clang-format in place; cppcheck
#   make clean         removes all builds
#
# BUILD=folder, JOBS=N (2), PREFIX and DESTDIR, SUITES="...", MESON_OPTIONS="..." of the first build (-Doptimizer=disabled: no kiln-opt)
BUILD  ?= build
PREFIX ?= /usr/local
DESTDIR ?=
JOBS   ?= 2
SUITES ?=
MESON_OPTIONS ?=
# Two more builds that the checks use: unit tests under the sanitizers, everything by clang with warnings as errors.
SANITIZED := $(BUILD)-sanitized
CLANG     := $(BUILD)-clang
TSAN      := $(BUILD)-tsan

C_FILES = $(shell find src tests bench -name '*.[ch]' -not -path '*/generated/*')

all: $(BUILD)/build.ninja
	ninja -C $(BUILD) -j $(JOBS)
	@ln -sfn src/tools/kiln $(BUILD)/kiln
	@ln -sfn kiln $(BUILD)/kiln-riscv64
	@if [ -e $(BUILD)/src/opt/kiln-opt ]; then ln -sfn src/opt/kiln-opt $(BUILD)/kiln-opt; fi

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(MESON_OPTIONS)

$(SANITIZED)/build.ninja:
	meson setup $(SANITIZED) -Db_sanitize=address,undefined -Db_lundef=false -Ddebug_checks=true -Dbuildtype=debugoptimized

$(TSAN)/build.ninja:
	meson setup $(TSAN) -Db_sanitize=thread -Db_lundef=false -Ddebug_checks=true -Dbuildtype=debugoptimized

$(CLANG)/build.ninja:
	CC=clang meson setup $(CLANG) --werror

sanitized: $(SANITIZED)/build.ninja
	ninja -C $(SANITIZED) -j $(JOBS) unit-tests src/tools/kiln

clang: $(CLANG)/build.ninja
	ninja -C $(CLANG) -j $(JOBS)

deps:
	scripts/install-deps

demo: deps all
	scripts/demo $(BUILD)/kiln

check: all sanitized clang
	tests/run --build $(BUILD) --sanitized $(SANITIZED) --jobs $(JOBS) $(SUITES)

check-long: all sanitized clang
	tests/run --build $(BUILD) --sanitized $(SANITIZED) --jobs $(JOBS) --long $(SUITES)

soak: all
	tests/runtimes/run.py --kiln $(BUILD)/kiln --jobs $(JOBS) --times 100 --summary docs/soak.md

tsan: all $(TSAN)/build.ninja
	ninja -C $(TSAN) -j $(JOBS) src/tools/kiln
	tests/run --build $(BUILD) --tsan $(TSAN) --jobs $(JOBS) tsan

bench: all
	bench/run --kiln $(BUILD)/kiln

install: all
	install -D -m 755 $(BUILD)/kiln $(DESTDIR)$(PREFIX)/bin/kiln
	ln -sfn kiln $(DESTDIR)$(PREFIX)/bin/kiln-riscv64
	if [ -e $(BUILD)/kiln-opt ]; then install -D -m 755 $(BUILD)/kiln-opt $(DESTDIR)$(PREFIX)/libexec/kiln/kiln-opt; fi
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(BUILD)/kiln --man >$(DESTDIR)$(PREFIX)/share/man/man1/kiln.1
	ln -sfn kiln.1 $(DESTDIR)$(PREFIX)/share/man/man1/kiln-riscv64.1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(BUILD)/kiln --completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/kiln
	ln -sfn kiln $(DESTDIR)$(PREFIX)/share/bash-completion/completions/kiln-riscv64
	$(BUILD)/kiln --completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kiln

format:
	clang-format -i $(C_FILES)

lint:
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 --inline-suppr \
	  --suppressions-list=scripts/cppcheck.txt -D_GNU_SOURCE -Isrc -Itests -Itests/unit -j $(JOBS) src tests bench

clean:
	rm -rf $(BUILD) $(SANITIZED) $(CLANG) $(TSAN) $(BUILD)-fuzz

.PHONY: all sanitized clang deps demo check check-long soak tsan bench install format lint clean
