#!/bin/sh
# Stands for the programs of a router in a sandbox: the name says which. TREE is what the server at BASE holds.
set -eu
here() { printf '%s' "$TREE/${1#"$BASE"/}"; }
case ${0##*/} in
uname) case $1 in -r) printf '%s\n' "$RUNNING" ;; *) printf '%s\n' "${BUILT:-#0 SMP}" ;; esac ;;
wget)
	[ -z "${DOWN:-}" ] || exit 4
	cp "$(here "$4")" "$3" 2>/dev/null || exit 8
	;;
opkg)
	list=$SUBSCRIBE_ROOT/etc/opkg/customfeeds.conf
	code=0
	while read -r kind name address; do
		[ "$kind" = src/gz ] || continue
		if [ "$1" = list ]; then
			sed -n 's/^Package: \(.*\)/\1 - 1/p' "$(here "$address")/Packages"
		elif [ -f "$(here "$address")/Packages.gz" ] && [ -z "${REFUSED:-}" ]; then
			printf 'Downloading %s/Packages.gz\nUpdated list of available packages in /var/opkg-lists/%s\n' "$address" "$name"
		else
			printf '*** Failed to download the package list from %s/Packages.gz\n' "$address"
			code=1
		fi
	done <"$list"
	[ -z "${OTHER:-}" ] || { [ "$1" = list ] || { printf '*** Failed to download the package list from %s\n' "$OTHER"; code=1; }; }
	exit "$code"
	;;
apk)
	list=$SUBSCRIBE_ROOT/etc/apk/repositories.d/customfeeds.list
	code=0
	while read -r address; do
		case $address in "#"* | "") continue ;; esac
		place=$(here "$address")
		if [ "$1" = list ]; then
			sed -n 's/^    "\([^"]*\)": "\([^"]*\)".*/\1-\2 noarch/p' "${place%/*}/index.json"
		elif [ -f "$place" ] && [ -z "${REFUSED:-}" ]; then
			printf ' [%s]\n' "$address"
		else
			printf 'WARNING: updating and opening %s: UNTRUSTED signature\n' "$address"
			code=1
		fi
	done <"$list"
	[ -z "${OTHER:-}" ] || { [ "$1" = list ] || { printf 'WARNING: updating and opening %s: no such file\n' "$OTHER"; code=1; }; }
	exit "$code"
	;;
esac
