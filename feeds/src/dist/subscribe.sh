#!/bin/sh
# Subscribes this router to the feed @NAME@: installs its keys and the one line that fits the running kernel. Run again,
# it updates the line if the kernel changed. It needs nothing but busybox and the router's package manager.
# MANAGER=opkg or apk chooses one on a router that has both.
set -eu

name='@NAME@'
keyring='@KEYRING@'
base='@URL@'
# Manager, digest and file of each key.
keys='@KEYS@'
# Folder of the system; for tests.
root=${SUBSCRIBE_ROOT:-}

say() { printf '%s: %s\n' "$name" "$*"; }
die() {
	printf '%s: %s\n' "$name" "$1" >&2
	shift
	for line in "$@"; do printf '  %s\n' "$line" >&2; done
	exit 1
}

# Also kept on the router, to update the line after a system upgrade, when there is no network yet.
functions=$(cat <<'FUNCTIONS'
# Release line, target and package manager of this router.
router() {
	. "$root/etc/openwrt_release"
	target=$DISTRIB_TARGET
	case $DISTRIB_RELEASE in
	SNAPSHOT) line=main ;;
	*-SNAPSHOT) line=${DISTRIB_RELEASE%-SNAPSHOT} ;;
	[0-9]*.[0-9]*.*) line=${DISTRIB_RELEASE%.*} ;;
	*) line=$DISTRIB_RELEASE ;;
	esac
	manager=${MANAGER:-}
	if [ -z "$manager" ]; then
		manager=opkg
		if command -v apk >/dev/null; then manager=apk; fi
	fi
	case $manager in
	apk)
		distfeeds=$root/etc/apk/repositories.d/distfeeds.list
		list=$root/etc/apk/repositories.d/customfeeds.list
		index=packages.adb
		;;
	*)
		distfeeds=$root/etc/opkg/distfeeds.conf
		list=$root/etc/opkg/customfeeds.conf
		index=Packages.gz
		;;
	esac
}

# The kernel that the image was built with, in the form that kmod folders are named.
kernel() {
	kernel=
	if [ -f "$distfeeds" ]; then
		kernel=$(sed -n 's|^[^#]*/kmods/\([^/ ]*\).*|\1|p' "$distfeeds" | head -n 1)
	fi
	if [ -z "$kernel" ]; then
		case $manager in
		apk) version=$(sed -n '/^P:kernel$/,/^$/s/^V://p' "$root/lib/apk/db/installed" | head -n 1) ;;
		*) version=$(sed -n '/^Package: kernel$/,/^$/s/^Version: //p' "$root/usr/lib/opkg/status" | head -n 1) ;;
		esac
		case $version in
		*~*-r*)
			hash=${version#*~}
			kernel=${version%%~*}-${hash##*-r}-${hash%-r*}
			;;
		*) kernel=$version ;;
		esac
	fi
}

# The feed list with our line for this kernel, and without our older one.
lines() {
	place=$base/$line/$target/kmods/$kernel
	case $manager in
	apk)
		address=$place/packages.adb
		ours=$address
		;;
	*)
		address=$place
		ours="src/gz $name $place"
		;;
	esac
	if [ -f "$list" ]; then
		awk -v base="$base/" -v feed="src/gz $name " 'index($0, base) != 1 && index($0, feed) != 1' "$list"
	fi
	printf '%s\n' "$ours"
}
FUNCTIONS
)
eval "$functions"

# Writes stdin to a file, and says so if that changes it.
put() {
	text=$(cat)
	if [ -f "$1" ] && [ "$(cat "$1")" = "$text" ]; then return; fi
	mkdir -p "${1%/*}"
	printf '%s\n' "$text" >"$1.new"
	mv "$1.new" "$1"
	say "wrote ${1#"$root"}"
}

fetch() { wget -q -O "$2" "$1" 2>/dev/null; }

[ -f "$root/etc/openwrt_release" ] ||
	die "this is no OpenWrt: there is no /etc/openwrt_release" "run this on the router"
router
[ -n "${target:-}" ] || die "/etc/openwrt_release does not say which target this is"
kernel
[ -n "$kernel" ] || die "this image does not say which kernel it has" \
	"neither its list of feeds nor its package \`kernel\` does; modules of any kind could not be told to fit"
running=$(uname -r)
case "$running $(uname -v)" in
"${kernel%%-*}"[-+\ ]*) ;;
# A stand-in's kernel may keep the name of its line's first one, and says its version beside it.
*" Debian ${kernel%%-*}-"*) ;;
*)
	die "the kernel that runs is $running, and the image says that it has $kernel" \
		"modules for the one are refused by the other; nothing was changed" \
		"install an image whose package \`kernel\` is that of its kernel, or reboot if it was just upgraded"
	;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/subscribe.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

place=$base/$line/$target/kmods/$kernel
if ! fetch "$place/$index" "$work/index" || [ ! -s "$work/index" ]; then
	fetch "$base/feed.json" "$work/feed" || die "$base cannot be reached" "check the network and the time of this router"
	if fetch "$base/$line/$target/releases.json" "$work/releases"; then
		there=$(sed -n 's/^ *"\([^"]*\)": *"\([^"]*\)".*/\1 with kernel \2/p' "$work/releases")
	else
		there="nothing for $line on $target"
	fi
	die "there are no packages for kernel $kernel of $DISTRIB_RELEASE on $target" \
		"nothing was changed. There is:" "$there" \
		"a vendor's own kernel and most snapshots are never there; a new release may not be built yet"
fi

# Everything is fetched and checked before the first change.
mkdir "$work/keys"
printf '%s\n' "$keys" | while read -r of digest file; do
	[ "$of" = "$manager" ] || continue
	fetch "$base/keys/$of/$file" "$work/keys/$file" || die "the key $file cannot be fetched from $base" "nothing was changed"
	found=$(sha256sum "$work/keys/$file")
	[ "${found%% *}" = "$digest" ] || die "the key $file is not the one that this script was made for" \
		"somebody changed one of them on its way, or on the server; nothing was changed" \
		"do not use the feed before you know why"
done
for key in "$work/keys"/*; do
	[ -f "$key" ] || die "the feed has no key for $manager" "nothing was changed"
	put "$root/etc/$manager/keys/${key##*/}" <"$key"
done

before=$work/before
: >"$before"
if [ -f "$list" ]; then cat "$list" >"$before"; fi
lines >"$work/lines"
put "$list" <"$work/lines"

{
	printf '/lib/upgrade/keep.d/%s\n' "$name"
	printf '/etc/uci-defaults/zz-%s\n' "$name"
	printf '%s\n' "${list#"$root"}"
	for key in "$work/keys"/*; do printf '/etc/%s/keys/%s\n' "$manager" "${key##*/}"; done
} | put "$root/lib/upgrade/keep.d/$name"
{
	printf '# Points the line of the feed %s at the kernel of this image; made by its subscribe.sh. It fails, so that it stays.\n' "$name"
	printf "name='%s'\nbase='%s'\nroot=\${SUBSCRIBE_ROOT:-}\nMANAGER=%s\n%s\n" "$name" "$base" "$manager" "$functions"
	cat <<'DEFAULTS'
router
kernel
if [ -n "$kernel" ] && [ -f "$list" ] && grep -qF -e "$base/" "$list"; then
	lines >"$list.new"
	if [ "$(cat "$list")" = "$(cat "$list.new")" ]; then rm "$list.new"; else mv "$list.new" "$list"; fi
fi
false
DEFAULTS
} | put "$root/etc/uci-defaults/zz-$name"

# Another feed may fail; only ours counts.
failed() {
	if [ -s "$before" ]; then put "$list" <"$before"; else rm -f "$list"; fi
	printf '%s\n' "$said" >&2
	die "$manager does not take the index from $address" "what it said is above; the list of feeds is as it was"
}
if ! said=$("$manager" update 2>&1); then
	printf '%s\n' "$said" | grep -F -e "$address" -e " $name" |
		grep -qv -e '^fetch ' -e '^Downloading ' -e '^Updated list ' -e '\]$' && failed
fi
"$manager" list | grep -q "^$keyring[ -]" || failed
say "$manager reads $address"
