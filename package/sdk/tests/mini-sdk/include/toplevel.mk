# Its being here is what makes a folder an OpenWrt tree.
