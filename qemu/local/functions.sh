# What the maintainer scripts of packages call: the parts of OpenWrt's /lib/functions.sh that install
# and remove a package on a running router. The first argument is the script's own file name.

# Files of a package, by the list that its package manager keeps.
package_files() {
	sed 's,^/*,/,' "$IPKG_INSTROOT/usr/lib/opkg/info/$1.list" "$IPKG_INSTROOT/lib/apk/packages/$1.list" 2>/dev/null
}

package_of_script() {
	local name=${1##*/}
	echo "${name%.*}"
}

# Users and groups that a package asks for, as `user=id:group=id`, where the root does not have them yet.
add_group_and_user() {
	local name=${1:-$pkgname} spec user group
	local apk=$IPKG_INSTROOT/lib/apk/packages/$name.rusers opkg=$IPKG_INSTROOT/usr/lib/opkg/info/$name.control
	for spec in $(
		[ ! -f "$apk" ] || cat "$apk"
		[ ! -f "$opkg" ] || sed -n 's/^Require-User: //p' "$opkg"
	); do
		user=${spec%%:*} group=${spec#*:}
		group=${group%%:*}
		grep -q "^${group%=*}:" "$IPKG_INSTROOT/etc/group" ||
			echo "${group%=*}:x:${group#*=}:" >>"$IPKG_INSTROOT/etc/group"
		grep -q "^${user%=*}:" "$IPKG_INSTROOT/etc/passwd" ||
			echo "${user%=*}:x:${user#*=}:${group#*=}::/var/run/${user%=*}:/bin/false" >>"$IPKG_INSTROOT/etc/passwd"
	done
}

default_postinst() {
	local name files file code=0
	name=${pkgname:-$(package_of_script "$1")}
	files=$(package_files "$name")
	add_group_and_user "$name"

	if [ -z "$IPKG_INSTROOT" ]; then
		case $files in */etc/modules.d/*) kmodloader ;; esac
		for file in $files; do
			case $file in
			/etc/sysctl.d/*) sysctl -q -p "$file" ;;
			/etc/uci-defaults/*) [ -f "$file" ] && (. "$file") && rm -f "$file" ;;
			esac
		done
	fi

	file=$IPKG_INSTROOT/usr/lib/opkg/info/$name.postinst-pkg
	if [ -f "$file" ]; then
		(. "$file")
		code=$?
	fi

	for file in $files; do
		case $file in /etc/init.d/*) ;; *) continue ;; esac
		[ "$PKG_UPGRADE" = 1 ] || "$IPKG_INSTROOT$file" enable
		[ -n "$IPKG_INSTROOT" ] || "$file" start
	done
	return $code
}

default_prerm() {
	local name file code=0
	name=${pkgname:-$(package_of_script "$1")}

	file=$IPKG_INSTROOT/usr/lib/opkg/info/$name.prerm-pkg
	if [ -f "$file" ]; then
		(. "$file")
		code=$?
	fi

	for file in $(package_files "$name" | grep '^/etc/init\.d/'); do
		[ "$PKG_UPGRADE" = 1 ] || "$IPKG_INSTROOT$file" disable
		[ -n "$IPKG_INSTROOT" ] || "$file" stop
	done
	return $code
}
