#!/bin/sh
# What the goals do. Words of the file `fault`:
#   prerequisite, umask    the host is refused
#   scan-hangs             spins without a word, as two makes in one tree do
#   drops                  defconfig forgets what comes from a feed
#   fails, fails-once      a build ends with 2; with V=s it says why, or succeeds
#   full, glibc, library   the same, for a reason of that kind
#   nothing                exit code 0, and no package
#   orphan                 leaves a process behind that holds the output open
#   other-arch, other-kernel, host-path, stripped, unreadable   packages that are wrong
#   unreachable, no-link   see scripts/feeds
. "$(dirname "$0")/common.sh"

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
	mkdir -p tmp
	while IFS='|' read -r name modules kconfig depends; do
		printf 'Package: %s\nDepends: +kernel' "$name"
		for depend in $depends; do printf ' +%s' "$depend"; done
		printf '\n@@\n'
	done < package/kernel/linux/kmods > tmp/.packageinfo
	for makefile in package/feeds/*/*/Makefile; do
		[ ! -f "$makefile" ] || printf 'Package: %s\n@@\n' "$(basename "$(dirname "$makefile")")" >> tmp/.packageinfo
	done
}

# Keeps what is known, adds what the builder selected, and says nothing about the rest.
defconfig() {
	echo "WARNING: Makefile 'package/kernel/linux/Makefile' has a dependency on 'r8152-firmware', which does not exist" >&2
	{
		sed -n 's/^config \(PACKAGE_.*\)/CONFIG_\1=m/p' Config-build.in
		sed -n 's/^CONFIG_PACKAGE_\(.*\)=m$/\1/p' .config | while read -r name; do
			[ "$fault" = drops ] || ! grep -q "^Package: $name\$" tmp/.packageinfo || echo "CONFIG_PACKAGE_$name=m"
		done
	} | sort -u > tmp/config
	mv tmp/config .config
	echo "# configuration written to .config"
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
	orphan) sleep 600 & ;;
	esac
}

kernel() {
	broken || return 1
	[ "$fault" != nothing ] || return 0
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
				cp "$linux/net/$module.ko" "$root/lib/modules/$version/"
				echo "$module" >> "$root/etc/modules.d/${name#kmod-}"
			else
				echo "ERROR: module '$linux/net/$module.ko' is missing." >&2
				return 1
			fi
		done
		needs="kernel (=$version~$(vermagic)-r1)"
		for depend in $depends; do needs="$needs, $depend"; done
		pack "bin/targets/$(default TARGET_BOARD)/$(default TARGET_SUBTARGET)/packages" "$name" "$version-r1" "$needs" \
			package/kernel/linux "$root" "$(cat package/kernel/linux/version.date)"
	done < package/kernel/linux/kmods
}

vermagic() {
	if [ "$fault" = other-kernel ]; then
		echo ffffffffffffffffffffffffffffffff
	else
		sed -n 's/.*LINUX_VERMAGIC),\([0-9a-f]\{32\}\)).*/\1/p' include/kernel.mk
	fi
}

# userspace FEED/PACKAGE: packs bin/ARCH/PACKAGE of the feed.
userspace() {
	broken || return 1
	[ "$fault" != nothing ] || return 0
	folder=package/feeds/$1
	name=${1##*/}
	if ! grep -q "^CONFIG_PACKAGE_$name=" .config; then
		echo "WARNING: skipping $name -- package not selected"
		return 0
	fi
	program=$folder/bin/$(default TARGET_ARCH_PACKAGES)/$name
	[ -f "$program" ] || { echo "$name: no program at $program" >&2; return 1; }
	root=tmp/root
	rm -rf $root
	mkdir -p $root/usr/sbin
	cp "$program" $root/usr/sbin/
	[ "$fault" != stripped ] || echo changed >> "$root/usr/sbin/$name"
	field() { sed -n "s/^PKG_$1:=//p" "$folder/Makefile"; }
	source=$(readlink -f "$folder")
	[ "$fault" = host-path ] || source=${source#"$TOPDIR/"}
	pack "bin/packages/$(default TARGET_ARCH_PACKAGES)/${1%/*}" "$name" "$(field VERSION)-r$(field RELEASE)" libc \
		"$source" "$root" "$(cat "$folder/version.date")"
}

# pack FOLDER NAME VERSION DEPENDS SOURCE ROOT DATE
pack() {
	arch=$(default TARGET_ARCH_PACKAGES)
	[ "$fault" != other-arch ] || arch=mips_24kc
	mkdir -p "$1"
	if [ "$(default USE_APK)" = y ]; then
		# There is no apk on the host: what the tests made of the same is taken.
		rm -f "$1/$2"-[0-9]*.apk
		cp "prebuilt/$2-$3.apk" "$1/"
	else
		rm -f "$1/$2"_*.ipk
		archive=$1/$2_${3}_$arch.ipk
		if [ -e "prebuilt/${archive##*/}" ]; then
			cp "prebuilt/${archive##*/}" "$archive"
			return
		fi
		mkdir -p tmp/control
		printf 'Package: %s\nVersion: %s\nDepends: %s\nSource: %s\nLicense: GPL-2.0\nSection: kernel\nSourceDateEpoch: %s\nMaintainer: Nobody <nobody@example.com>\nArchitecture: %s\nInstalled-Size: %s\nDescription:  %s\n' \
			"$2" "$3" "$4" "$5" "$7" "$arch" "$(cat $(find "$6" -type f) /dev/null | wc -c)" "$2" > tmp/control/control
		echo 2.0 > tmp/debian-binary
		flags="--numeric-owner --owner=0 --group=0 --sort=name --format=gnu --mtime=@$7"
		tar $flags -C "$6" -cf - . | gzip -n9 > tmp/data.tar.gz
		tar $flags -C tmp/control -cf - ./control | gzip -n9 > tmp/control.tar.gz
		tar $flags -C tmp -cf - ./debian-binary ./data.tar.gz ./control.tar.gz | gzip -n9 > "$archive"
		[ "$fault" != unreadable ] || echo garbage > "$archive"
	fi
}

"$@"
