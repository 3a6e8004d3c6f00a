# What both scripts need.
fault=$(cat "$(dirname "$0")/../fault" 2>/dev/null)
linux=$(echo "$(dirname "$0")"/../build_dir/target-*/linux-*/linux-*)
version=${linux##*/linux-}

# default NAME: the value that the builder's configuration gives to a symbol.
default() {
	sed -n "/^config $1\$/,/^\$/s/^\tdefault \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" Config-build.in
}
