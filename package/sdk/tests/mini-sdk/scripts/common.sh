# What both scripts need.
fault=$(cat "$(dirname "$0")/../fault" 2>/dev/null)
linux=$(echo "$(dirname "$0")"/../build_dir/target-*/linux-*/linux-*)
version=${linux##*/linux-}

# default NAME: the value that the builder's configuration gives to a symbol.
default() {
	sed -n "/^config $1\$/,/^\$/s/^\tdefault \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" Config-build.in
}

# lookup FEED NAME: feed and folder of a package, or of the folder of that name; FEED comes first.
lookup() {
	for lookup in "$1" $(sed -n 's/^src-[a-z-]* \([^ ]*\) .*/\1/p' feeds.conf); do
		[ -e "feeds/$lookup.index" ] || continue
		awk -v name="$2" -v feed="$lookup" '
			/^Source-Makefile: / { path = $2; sub("/Makefile$", "", path); parts = split(path, part, "/") }
			$1 == "Package:" && ($2 == name || part[parts] == name) { print feed, path; exit 1 }
		' "feeds/$lookup.index" || return 0
	done
	return 1
}

# depends_of INDEX FOLDER: the packages that those of a folder need.
depends_of() {
	awk -v folder="$2/Makefile" '
		/^Source-Makefile: / { inside = $2 == folder }
		inside && $1 == "Depends:" { for (i = 2; i <= NF; i++) if ($i !~ /@/) { sub(/^\+/, "", $i); sub(/.*:/, "", $i); print $i } }
	' "$1"
}
