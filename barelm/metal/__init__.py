"""The program on the metal: QEMU, a real PC, or natively on the hosted firmware.  Start at `main.efi_main`."""
