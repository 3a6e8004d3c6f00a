# What Makefiles of feeds include first: places, and the programs of their recipes.
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
CP:=cp -fpR
TARGET_CC:=cc
TARGET_CFLAGS:=-O2
KERNEL_MAKE:=sh $(TOPDIR)/scripts/mini.sh kernel_make
