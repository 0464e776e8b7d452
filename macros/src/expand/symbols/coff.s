.section .rdata,"dr"
.globl "SYMBOL"
"SYMBOL":
.byte 0
.text
