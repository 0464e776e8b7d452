.pushsection __TEXT,__const
.globl "SYMBOL"
.no_dead_strip "SYMBOL"
"SYMBOL":
.byte 0
.popsection
