# BuildPackage and KernelPackage: with DUMP they say what the Makefile defines, else they pack what is selected.
PKG_BUILD_DIR?=$(TOPDIR)/build_dir/packages/src/$(PKG_NAME)-$(PKG_VERSION)
SELECTED:=$(if $(DUMP),,$(shell sed -n 's/^CONFIG_PACKAGE_\(.*\)=[my]$$/\1/p' $(TOPDIR)/.config))
MINI_ROOT:=$(TOPDIR)/tmp/own

.DEFAULT_GOAL:=$(if $(DUMP),dumpinfo,compile)
dumpinfo: ; @:
.PHONY: compile dumpinfo

define Build/Prepare
	mkdir -p $(PKG_BUILD_DIR)
	$(if $(wildcard src/*),$(CP) ./src/* $(PKG_BUILD_DIR)/)
endef
define Build/Compile
	$(MAKE) -C $(PKG_BUILD_DIR) CC="$(TARGET_CC)" CFLAGS="$(TARGET_CFLAGS)"
endef

.PHONY: mini-build
mini-build:
	rm -rf $(PKG_BUILD_DIR)
	$(Build/Prepare)
	$(Build/Compile)

define Package/Default
  TITLE:=
  SECTION:=opt
  DEPENDS:=
  PROVIDES:=
  ABI_VERSION:=
  BUILDONLY:=
  FILES:=
  AUTOLOAD:=
  PKGARCH:=$(MINI_ARCH)
  VERSION:=$(PKG_VERSION)-r$(PKG_RELEASE)
endef

# 1: package
define Dump
$(info Package: $(1)
Version: $(VERSION)
Depends: $(DEPENDS)
Provides: $(PROVIDES)
Section: $(SECTION)
Title: $(TITLE)
$(if $(ABI_VERSION),ABI-Version: $(ABI_VERSION)
)$(if $(BUILDONLY),Build-Only: $(BUILDONLY)
)Description: $(or $(Package/$(1)/description),$(TITLE))
@@
)
endef

# 1: package, 2: version, 3: dependencies, 4: architecture, 5: its name on routers
define Pack
compile: mini-pack-$(1)
.PHONY: mini-pack-$(1)
mini-pack-$(1): mini-build
	$$(shell rm -rf $(MINI_ROOT); mkdir -p $(MINI_ROOT)/root $(MINI_ROOT)/control)
	$$(call Package/$(1)/install,$(MINI_ROOT)/root)
	$$(if $$(Package/$(1)/conffiles),$$(file >$(MINI_ROOT)/control/conffiles,$$(strip $$(Package/$(1)/conffiles))))
	$$(if $$(Package/$(1)/postinst),$$(file >$(MINI_ROOT)/control/postinst-pkg,$$(Package/$(1)/postinst)) chmod 0755 $(MINI_ROOT)/control/postinst-pkg)
	sh $(TOPDIR)/scripts/mini.sh pack_own '$(5)' '$(2)' '$(3)' '$(4)'
endef

define BuildPackage
$(eval $(call Package/Default))
$(eval $(Package/$(1)))
$(if $(DUMP),$(call Dump,$(1)),$(if $(filter $(1),$(SELECTED)),$(if $(BUILDONLY),,$(eval $(call Pack,$(1),$(VERSION),$(DEPENDS),$(PKGARCH),$(1)$(ABI_VERSION))))))
endef

AutoLoad=$(2)
AutoProbe=$(1)

# 1: package without kmod-
define KernelPackage
$(eval $(call Package/Default))
$(eval $(KernelPackage/$(1)))
$(eval VERSION:=$(LINUX_VERSION).$(PKG_VERSION)-r$(PKG_RELEASE))
$(if $(DUMP),$(call Dump,kmod-$(1)),$(if $(filter kmod-$(1),$(SELECTED)),$(eval $(call PackModules,$(1),$(FILES),$(AUTOLOAD))) $(eval $(call Pack,kmod-$(1),$(VERSION),kernel $(DEPENDS),$(MINI_ARCH),kmod-$(1)))))
endef

# 1: package without kmod-, 2: modules, 3: those that are loaded
define PackModules
define Package/kmod-$(1)/install
	mkdir -p $$(1)/lib/modules/$(LINUX_VERSION) $$(1)/etc/modules.d
	for file in $(2); do if [ -e $$$$file ]; then cp $$$$file $$(1)/lib/modules/$(LINUX_VERSION)/; else echo "ERROR: module '$$$$file' is missing." >&2; exit 1; fi; done
	$$(if $(3),printf '%s\n' $(3) > $$(1)/etc/modules.d/$(1))
endef
endef
