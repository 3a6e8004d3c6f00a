#!/bin/sh
# What the goals do. Words of the file `fault`:
#   prerequisite, umask    the host is refused
#   scan-hangs             spins without a word, as two makes in one tree do
#   drops                  defconfig forgets what comes from a feed
#   fails, fails-once      a build ends with 2; with V=s it says why, or succeeds
#   full, glibc, library, own-library   the same, for a reason of that kind
#   nothing                exit code 0, and no package
#   orphan                 leaves a process behind that holds the output open
#   other-arch, other-kernel, host-path, stripped, unreadable, part, signs   packages that are wrong
#   cut-package, cut-scan  writes half a file in its place, says so, and waits to be killed
#   empty-package          the same with nothing in the file
#   full-once              writes half a package in its place and finds the disk full, the first time
#   not-compiled, undefined, not-made   a kmod from source: an error of the compiler, of modpost, no module
#   unreachable, no-link   see scripts/feeds
. "$(dirname "$0")/common.sh"
# The goals' own output goes to logs; this is where the caller listens.
exec 5>&1

# leave WHAT FILE: what is left of FILE when we are killed while we write it in place, as OpenWrt's scripts do.
leave() {
	case $fault in
	"cut-$1") half=$(($(wc -c < "$2") / 2)) ;;
	"empty-$1") half=0 ;;
	*) return 0 ;;
	esac
	truncate -s $half "$2"
	echo "$2 is cut" >&5
	sleep 600
}

prepare() {
	if [ ! -e staging_dir/host/.prereq-build ]; then
		case $(umask) in
		*022) [ "$fault" != umask ] || { echo "Please build with umask 022 - other values produce broken packages"; exit 1; } ;;
		*) echo "Please build with umask 022 - other values produce broken packages"; exit 1 ;;
		esac
		echo "Checking 'git'... ok."
		if [ "$fault" = prerequisite ]; then
			echo "Checking 'rsync'... failed."
			echo "Prerequisite check failed. Use FORCE=1 to override."
			exit 1
		fi
		mkdir -p staging_dir/host
		touch staging_dir/host/.prereq-build
	fi
	[ "$fault" != scan-hangs ] || while :; do :; done
	mkdir -p tmp/info
	# What was scanned is kept until other Makefiles are there.
	{ ls -L package/kernel/linux/kmods package/feeds/*/*/Makefile; cat feeds/*.index | md5sum; } > tmp/info/files.new 2>/dev/null
	if [ -e tmp/.packageinfo ] && cmp -s tmp/info/files.new tmp/info/files; then
		return
	fi
	mv tmp/info/files.new tmp/info/files
	echo 'Source-Makefile: package/kernel/linux/Makefile' > tmp/.packageinfo
	while IFS='|' read -r name modules kconfig depends; do
		printf 'Package: %s\nDepends: +kernel' "$name"
		for depend in $depends; do printf ' +%s' "$depend"; done
		printf '\n@@\n'
	done < package/kernel/linux/kmods >> tmp/.packageinfo
	for folder in package/feeds/*/*; do
		[ -f "$folder/Makefile" ] || continue
		feed=${folder#package/feeds/}
		feed=${feed%%/*}
		echo "Source-Makefile: $folder/Makefile"
		if [ "$feed" = offload ]; then
			printf 'Package: %s\n@@\n' "${folder##*/}"
		else
			awk -v source="${folder##*/}" '
				/^Source-Makefile: / { parts = split($2, part, "/"); inside = part[parts - 1] == source; next }
				inside' "feeds/$feed.index"
		fi
	done >> tmp/.packageinfo
	leave scan tmp/.packageinfo
}

# Keeps what is known, adds what the builder selected, and says nothing about the rest.
defconfig() {
	echo "WARNING: Makefile 'package/kernel/linux/Makefile' has a dependency on 'r8152-firmware', which does not exist" >&2
	echo "WARNING: Makefile 'package/kernel/linux/Makefile' has a build dependency on 'xtables-addons', which does not exist" >&2
	off='# CONFIG_SIGN_EACH_PACKAGE is not set'
	{
		grep "^$off\$" .config || [ "$(default USE_APK)" != y ] || echo CONFIG_SIGN_EACH_PACKAGE=y
		sed -n 's/^config \(PACKAGE_.*\)/CONFIG_\1=m/p' Config-build.in
		sed -n 's/^CONFIG_PACKAGE_\(.*\)=m$/\1/p' .config | while read -r name; do
			[ "$fault" = drops ] || ! is_possible "$name" || echo "CONFIG_PACKAGE_$name=m"
		done
	} | sort -u > tmp/config
	mv tmp/config .config
	echo "# configuration written to .config"
}

# is_possible PACKAGE: it is known, and for this target if it names one.
is_possible() {
	grep -q "^Package: $1\$" tmp/.packageinfo || return 1
	wanted=$(sed -n "/^Package: $1\$/,/^@@/s/^Depends:.* @TARGET_\([a-z0-9_]*\).*/\1/p" tmp/.packageinfo)
	[ -z "$wanted" ] || [ "$wanted" = "$(default TARGET_BOARD)" ]
}

# goal GOAL KIND [WHAT]: quiet, unless V=s.
goal() {
	echo " make[1] $1"
	if [ "$V" = s ]; then
		"$2" "$3" 2>&1 || exit 2
		return
	fi
	mkdir -p "logs/${1%/compile}"
	"$2" "$3" > "logs/${1%/compile}/compile.txt" 2>&1 && return
	echo "    ERROR: ${1%/compile} failed to build."
	echo "make -r $1: build failed. Please re-run make with -j1 V=s or V=sc for a higher verbosity level to see what's going on"
	exit 2
}

unknown() {
	echo "make[1]: *** No rule to make target 'package/unknown'.  Stop."
	return 1
}

broken() {
	case $fault in
	fails) echo "net/x.c:1: error: expected identifier" && return 1 ;;
	fails-once) [ "$V" = s ] || return 1 ;;
	full) echo "cp: error writing 'x': No space left on device" && return 1 ;;
	glibc) echo "x: /lib/libc.so.6: version \`GLIBC_2.99' not found (required by x)" && return 1 ;;
	library) echo "Package kmod-x is missing dependencies for the following libraries:" && return 1 ;;
	own-library)
		echo "Package offloadctl is missing dependencies for the following libraries:" && echo libx.so && return 1
		;;
	orphan) sleep 600 & ;;
	esac
}

# stamp NAME FILE…: packages are made again when one of the files is another than last time.
stamp() {
	stamp=build_dir/packages/$1/.built_$(shift && cat "$@" | md5sum | cut -c 1-32)
	[ ! -e "$stamp" ] || return 1
	rm -rf "build_dir/packages/$1"
	mkdir -p "build_dir/packages/$1"
	touch "$stamp"
}

kernel() {
	broken || return 1
	[ "$fault" != nothing ] || return 0
	packages=bin/targets/$(default TARGET_BOARD)/$(default TARGET_SUBTARGET)/packages
	! stamp linux "$linux/.config" package/kernel/linux/kmods || rm -rf "$packages"
	while IFS='|' read -r name modules kconfig depends; do
		grep -q "^CONFIG_PACKAGE_$name=" .config || continue
		root=tmp/root
		rm -rf $root
		mkdir -p $root
		missing=
		for symbol in $kconfig; do grep -q "^CONFIG_$symbol=[ym]" "$linux/.config" || missing=$symbol; done
		if [ -n "$missing" ]; then
			echo "WARNING: $name is not available in the kernel config - generating empty package" >&2
			modules=
		fi
		for module in $modules; do
			if grep -q "/$module.ko" "$linux/modules.builtin"; then
				echo "NOTICE: module '$module.ko' is built-in."
			elif [ -e "$linux/net/$module.ko" ]; then
				mkdir -p "$root/lib/modules/$version" $root/etc/modules.d
				[ "$fault" = part ] && ls "$root"/lib/modules/*/*.ko > /dev/null 2>&1 && continue
				cp "$linux/net/$module.ko" "$root/lib/modules/$version/"
				echo "$module" >> "$root/etc/modules.d/${name#kmod-}"
			else
				echo "ERROR: module '$linux/net/$module.ko' is missing." >&2
				return 1
			fi
		done
		needs="kernel (=$version~$(vermagic)-r1)"
		for depend in $depends; do needs="$needs, $depend"; done
		pack "$packages" "$name" "$version-r1" "$needs" package/kernel/linux "$root" \
			"$(cat package/kernel/linux/version.date)" || return 1
	done < package/kernel/linux/kmods
}

vermagic() {
	if [ "$fault" = other-kernel ]; then
		echo ffffffffffffffffffffffffffffffff
	else
		sed -n 's/.*LINUX_VERMAGIC),\([0-9a-f]\{32\}\)).*/\1/p' include/kernel.mk
	fi
}

# compiled: packs modules of a kmod from source; the tests made them.
compiled() {
	case $fault in
	not-compiled)
		echo "  CC [M]  x.o"
		echo "$TOPDIR/${linux#*/../}/../$name-$(field VERSION)/own.c:3:1: error: unknown type name 'gone'" |
			sed 's|linux-[^/]*/\.\./||'
		return 1
		;;
	undefined) echo 'ERROR: modpost: "gone" [own.ko] undefined!' && return 1 ;;
	esac
	[ -f "$folder/src/Kbuild" ] || { echo "$name: no source" >&2; return 1; }
	rm -rf tmp/root
	mkdir -p "tmp/root/lib/modules/$version" tmp/root/etc/modules.d
	for file in $(sed -n 's/^ *FILES:=//p' "$folder/Makefile"); do
		module=${file##*/}
		if [ "$fault" = not-made ] || [ ! -e "compiled/$module" ]; then
			echo "ERROR: module '$file' is missing." >&2
			return 1
		fi
		cp "compiled/$module" "tmp/root/lib/modules/$version/"
		echo "${module%.ko}" >> "tmp/root/etc/modules.d/${name#kmod-}"
	done
	needs="kernel (=$version~$(vermagic)-r1)"
	for depend in $(sed -n 's/^ *DEPENDS:=//p' "$folder/Makefile"); do needs="$needs, ${depend#+}"; done
	packages=bin/targets/$(default TARGET_BOARD)/$(default TARGET_SUBTARGET)/packages
	! stamp "$name" compiled/* $(find "$folder/" -type f) || rm -f "$packages/$name"[-_]*
	pack "$packages" "$name" "$version.$(field VERSION)-r$(field RELEASE)" "$needs" "offload-feed/$name" tmp/root \
		"$(cat "$folder/version.date")"
}

field() { sed -n "s/^PKG_$1:=//p" "$folder/Makefile"; }

# userspace FEED/PACKAGE: packs bin/ARCH/PACKAGE of the feed.
userspace() {
	broken || return 1
	[ "$fault" != nothing ] || return 0
	folder=package/feeds/$1
	name=${1##*/}
	if [ "${1%/*}" != offload ]; then
		own "$1"
		return
	fi
	if ! grep -q "^CONFIG_PACKAGE_$name=" .config; then
		echo "WARNING: skipping $name -- package not selected"
		return 0
	fi
	if grep -q 'call KernelPackage,' "$folder/Makefile"; then
		compiled
		return
	fi
	program=$folder/bin/$(default TARGET_ARCH_PACKAGES)/$name
	[ -f "$program" ] || { echo "$name: no program at $program" >&2; return 1; }
	root=tmp/root
	rm -rf $root
	mkdir -p $root/usr/sbin
	cp "$program" $root/usr/sbin/
	[ "$fault" != stripped ] || echo changed >> "$root/usr/sbin/$name"
	source=$(readlink -f "$folder")
	[ "$fault" = host-path ] || source=${source#"$TOPDIR/"}
	packages=bin/packages/$(default TARGET_ARCH_PACKAGES)/${1%/*}
	! stamp "$name" "$program" "$folder/Makefile" || rm -f "$packages/$name"[-_]*
	pack "$packages" "$name" "$(field VERSION)-r$(field RELEASE)" libc \
		"$source" "$root" "$(cat "$folder/version.date")"
}

# own FEED/SOURCE: what its Makefile says, after what it needs of any feed.
own() (
	case " $MINI_DONE " in
	*" $1 "*) exit 0 ;;
	esac
	LINUX_VERSION=$version MINI_ARCH=$(default TARGET_ARCH_PACKAGES) MINI_DONE="$MINI_DONE $1"
	export LINUX_VERSION MINI_ARCH MINI_DONE
	for depend in $(depends_of "feeds/${1%/*}.index" "$(awk -v source="${1##*/}" '
		/^Source-Makefile: / { parts = split($2, part, "/"); path = $2; if (part[parts - 1] == source) { sub("/Makefile$", "", path); print path; exit } }
		' "feeds/${1%/*}.index")"); do
		found=$(lookup "${1%/*}" "$depend") || continue
		path=${found#* }
		own "${found%% *}/${path##*/}" || exit 1
	done
	MAKEFLAGS= make -r --no-print-directory -C "package/feeds/$1" compile
)

# pack_own NAME VERSION DEPENDS ARCH: called by include/package.mk in the package's folder, which is a place of the tree.
pack_own() {
	source=$PWD
	cd "$TOPDIR" || exit 1
	needs=
	for depend in $3; do
		case $depend in
		@*) continue ;;
		kernel) depend="kernel (=$version~$(vermagic)-r1)" ;;
		esac
		depend=${depend#+}
		needs="$needs${needs:+, }${depend##*:}"
	done
	packages=bin/packages/$(default TARGET_ARCH_PACKAGES)/own
	case $1 in
	kmod-*) packages=bin/targets/$(default TARGET_BOARD)/$(default TARGET_SUBTARGET)/packages ;;
	esac
	rm -f "$packages/$1"_* "$packages/$1"-[0-9]*
	date=$(cat "$source/version.date" 2> /dev/null || sed -n 's/^SOURCE_DATE_EPOCH:=//p' include/version.mk)
	# What OpenWrt's build puts into every package: services are started and modules loaded by it.
	for script in postinst prerm; do
		printf '#!/bin/sh\n[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0\n. ${IPKG_INSTROOT}/lib/functions.sh\ndefault_%s $0 $@\n' \
			$script > tmp/own/control/$script
		chmod 0755 tmp/own/control/$script
	done
	pack "$packages" "$1" "$2" "$needs" "${source#"$TOPDIR/"}" tmp/own/root "$date" "$4" tmp/own/control
}

# kernel_make M=FOLDER … modules: what the tests compiled for the kernel that is booted, unless the source has an error.
kernel_make() {
	for word in "$@"; do
		case $word in
		M=*) folder=${word#M=} ;;
		esac
	done
	if grep -Hn "^#error" "$folder"/*.c > "$folder/errors"; then
		sed 's/^\(.*\.c:[0-9]*\):#error \(.*\)/\1:2: error: #error \2/' "$folder/errors"
		return 1
	fi
	cp "$TOPDIR"/compiled/*.ko "$folder/"
}

# pack FOLDER NAME VERSION DEPENDS SOURCE ROOT DATE [ARCH CONTROL]: unless the file is there.
pack() {
	arch=${8:-$(default TARGET_ARCH_PACKAGES)}
	[ "$fault" != other-arch ] || arch=mips_24kc
	mkdir -p "$1"
	if [ "$(default USE_APK)" = y ]; then
		# There is no apk on the host: what the tests made of the same is taken.
		archive=$1/$2-$3.apk
		prebuilt=prebuilt/${archive##*/}
		if grep -q '^CONFIG_SIGN_EACH_PACKAGE=y' .config || [ "$fault" = signs ]; then prebuilt=$prebuilt.signed; fi
	else
		archive=$1/$2_${3}_$arch.ipk
		prebuilt=prebuilt/${archive##*/}
	fi
	[ ! -e "$archive" ] || return 0
	if [ -e "$prebuilt" ]; then
		cp "$prebuilt" "$archive"
	else
		rm -rf tmp/control
		mkdir -p tmp/control
		[ -z "$9" ] || cp -R "$9/." tmp/control/
		printf 'Package: %s\nVersion: %s\nDepends: %s\nSource: %s\nLicense: GPL-2.0\nSection: kernel\nSourceDateEpoch: %s\nMaintainer: Nobody <nobody@example.com>\nArchitecture: %s\nInstalled-Size: %s\nDescription:  %s\n' \
			"$2" "$3" "$4" "$5" "$7" "$arch" "$(cat $(find "$6" -type f) /dev/null | wc -c)" "$2" > tmp/control/control
		echo 2.0 > tmp/debian-binary
		flags="--numeric-owner --owner=0 --group=0 --sort=name --format=gnu --mtime=@$7"
		tar $flags -C "$6" -cf - . | gzip -n9 > tmp/data.tar.gz
		tar $flags -C tmp/control -cf - $(cd tmp/control && ls | sed 's|^|./|') | gzip -n9 > tmp/control.tar.gz
		tar $flags -C tmp -cf - ./debian-binary ./data.tar.gz ./control.tar.gz | gzip -n9 > "$archive"
		[ "$fault" != unreadable ] || echo garbage > "$archive"
	fi
	leave package "$archive"
	if [ "$fault" = full-once ] && [ ! -e "$HOME/full" ]; then
		touch "$HOME/full"
		truncate -s 100 "$archive"
		return 1
	fi
}

"$@"
