//go:build !purego && !oblivioustrace

#include "textflag.h"

// func exchangeAVX2(first, second *uint64, rows, vectors int, from, flip uint64)
//
// The mask of row i is all ones where (i >= from) differs from flip: the carry of
// i - from, spread, without a branch. Both rows are read and written in any case.
TEXT ·exchangeAVX2(SB), NOSPLIT, $0-48
	MOVQ first+0(FP), SI
	MOVQ second+8(FP), DI
	MOVQ rows+16(FP), R8
	MOVQ vectors+24(FP), R9
	MOVQ from+32(FP), R10
	MOVQ flip+40(FP), R11
	NOTQ R11
	XORQ R12, R12

row:
	CMPQ         R12, R10
	SBBQ         R13, R13 // all ones where i < from
	XORQ         R11, R13
	VMOVQ        R13, X0
	VPBROADCASTQ X0, Y0
	MOVQ         R9, CX

vector:
	VMOVDQU (SI), Y1
	VMOVDQU (DI), Y2
	VPXOR   Y1, Y2, Y3
	VPAND   Y0, Y3, Y3
	VPXOR   Y3, Y1, Y1
	VPXOR   Y3, Y2, Y2
	VMOVDQU Y1, (SI)
	VMOVDQU Y2, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	DECQ    CX
	JNZ     vector

	INCQ R12
	CMPQ R12, R8
	JNE  row

	VZEROUPPER
	RET
