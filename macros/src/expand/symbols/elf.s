.pushsection ".rodata.freehold_1.NAME","aR"
.globl "SYMBOL"
"SYMBOL":
.byte 0
.popsection
