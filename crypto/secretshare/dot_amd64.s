//go:build !purego

#include "textflag.h"

// ADD3 adds the product of AX and a word in memory to three registers.
#define ADD3(word, r0, r1, r2) \
	MULQ word; \
	ADDQ AX, r0; \
	ADCQ DX, r1; \
	ADCQ $0, r2

// func products(sums *[9]uint64, a, b *element, n int)
TEXT ·products(SB), NOSPLIT, $0-32
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DI
	MOVQ n+24(FP), CX
	XORQ R8, R8
	XORQ R9, R9
	XORQ R10, R10
	XORQ R11, R11
	XORQ R12, R12
	XORQ R13, R13
	XORQ R14, R14
	XORQ R15, R15
	XORQ BX, BX
	TESTQ CX, CX
	JEQ done

loop:
	MOVQ (SI), AX
	ADD3(0(DI), R8, R9, R10)
	MOVQ (SI), AX
	ADD3(8(DI), R11, R12, R13)
	MOVQ 8(SI), AX
	ADD3(0(DI), R11, R12, R13)
	MOVQ 8(SI), AX
	ADD3(8(DI), R14, R15, BX)
	ADDQ $16, SI
	ADDQ $16, DI
	DECQ CX
	JNE loop

done:
	MOVQ sums+0(FP), DI
	MOVQ R8, 0(DI)
	MOVQ R9, 8(DI)
	MOVQ R10, 16(DI)
	MOVQ R11, 24(DI)
	MOVQ R12, 32(DI)
	MOVQ R13, 40(DI)
	MOVQ R14, 48(DI)
	MOVQ R15, 56(DI)
	MOVQ BX, 64(DI)
	RET
