//go:build !purego

#include "textflag.h"

// Eight elements of Field128 at a time, with the 52-bit multiply-add of
// AVX512-IFMA. In registers an element is three limbs of 52, 52 and 24 bits,
// each in its own register, one element a lane. In memory elements are two
// words; VPUNPCK[LH]QDQ separates low from high words, in the lane order 0, 4, 1,
// 5, 2, 6, 3, 7, and puts them together again.
//
// Z31 holds 2^52-1 in every lane, Z30 and Z29 the limbs 1 and 2 of the prime,
// whose limb 0 is 1. Z28 is zero.

#define CONSTANTS \
	MOVQ $0xFFFFFFFFFFFFF, AX; VPBROADCASTQ AX, Z31; \
	MOVQ $0xFFFFFFFFE4000, AX; VPBROADCASTQ AX, Z30; \
	MOVQ $0xFFFFFF, AX; VPBROADCASTQ AX, Z29; \
	VPXORQ Z28, Z28, Z28

// LOAD reads eight elements as low and high words; t is scratch.
#define LOAD(ptr, lo, hi, t) \
	VMOVDQU64 (ptr), t; VMOVDQU64 64(ptr), hi; \
	VPUNPCKLQDQ hi, t, lo; VPUNPCKHQDQ hi, t, hi

// LOADMASKED is LOAD with the words of K1 and K2 only, the others zero.
#define LOADMASKED(ptr, lo, hi, t) \
	VMOVDQU64.Z (ptr), K1, t; VMOVDQU64.Z 64(ptr), K2, hi; \
	VPUNPCKLQDQ hi, t, lo; VPUNPCKHQDQ hi, t, hi

#define STORE(ptr, lo, hi, t) \
	VPUNPCKLQDQ hi, lo, t; VPUNPCKHQDQ hi, lo, hi; \
	VMOVDQU64 t, (ptr); VMOVDQU64 hi, 64(ptr)

// BROADCAST reads one element into all lanes.
#define BROADCAST(ptr, lo, hi) \
	VPBROADCASTQ (ptr), lo; VPBROADCASTQ 8(ptr), hi

// SPLIT makes limbs of words; l0 may be lo and l2 may be hi. t is scratch.
#define SPLIT(lo, hi, l0, l1, l2, t) \
	VPSRLQ $52, lo, l1; VPSLLQ $12, hi, t; \
	VPTERNLOGQ $0xA8, Z31, t, l1; \
	VPANDQ Z31, lo, l0; VPSRLQ $40, hi, l2

// MAC adds the product of a and b to the six columns c; nothing is carried.
#define MAC(a0, a1, a2, b0, b1, b2, c0, c1, c2, c3, c4, c5) \
	VPMADD52LUQ b0, a0, c0; VPMADD52HUQ b0, a0, c1; \
	VPMADD52LUQ b1, a0, c1; VPMADD52HUQ b1, a0, c2; \
	VPMADD52LUQ b2, a0, c2; VPMADD52HUQ b2, a0, c3; \
	VPMADD52LUQ b0, a1, c1; VPMADD52HUQ b0, a1, c2; \
	VPMADD52LUQ b1, a1, c2; VPMADD52HUQ b1, a1, c3; \
	VPMADD52LUQ b2, a1, c3; VPMADD52HUQ b2, a1, c4; \
	VPMADD52LUQ b0, a2, c2; VPMADD52HUQ b0, a2, c3; \
	VPMADD52LUQ b1, a2, c3; VPMADD52HUQ b1, a2, c4; \
	VPMADD52LUQ b2, a2, c4; VPMADD52HUQ b2, a2, c5

// FOLD is one step of Montgomery reduction: it makes column c0 a multiple of
// 2^52 by adding a multiple of the prime, and carries it to c1. m and t are
// scratch.
#define FOLD(c0, c1, c2, c3, m, t) \
	VPSUBQ c0, Z28, m; VPANDQ Z31, m, m; \
	VPADDQ m, c0, t; VPSRLQ $52, t, t; VPADDQ t, c1, c1; \
	VPMADD52LUQ Z30, m, c1; VPMADD52HUQ Z30, m, c2; \
	VPMADD52LUQ Z29, m, c2; VPMADD52HUQ Z29, m, c3

// CARRY makes the columns r0, r1, r2 limbs of 52 bits.
#define CARRY(r0, r1, r2, t) \
	VPSRLQ $52, r0, t; VPANDQ Z31, r0, r0; VPADDQ t, r1, r1; \
	VPSRLQ $52, r1, t; VPANDQ Z31, r1, r1; VPADDQ t, r2, r2

// CANON subtracts the prime from limbs r below twice the prime if they are not
// below it, and makes words lo and hi of them. K3 and s0, s1, s2, t are scratch.
#define CANON(r0, r1, r2, lo, hi, s0, s1, s2, t) \
	MOVQ $1, AX; VPBROADCASTQ AX, t; \
	VPSUBQ t, r0, s0; VPSRAQ $52, s0, t; VPANDQ Z31, s0, s0; \
	VPSUBQ Z30, r1, s1; VPADDQ t, s1, s1; VPSRAQ $52, s1, t; VPANDQ Z31, s1, s1; \
	VPSUBQ Z29, r2, s2; VPADDQ t, s2, s2; \
	VPCMPQ $5, Z28, s2, K3; \
	VMOVDQA64 s0, K3, r0; VMOVDQA64 s1, K3, r1; VMOVDQA64 s2, K3, r2; \
	VPSLLQ $52, r1, lo; VPORQ r0, lo, lo; \
	VPSRLQ $12, r1, t; VPSLLQ $40, r2, hi; VPORQ t, hi, hi

#define ZERO6(c0, c1, c2, c3, c4, c5) \
	VPXORQ c0, c0, c0; VPXORQ c1, c1, c1; VPXORQ c2, c2, c2; \
	VPXORQ c3, c3, c3; VPXORQ c4, c4, c4; VPXORQ c5, c5, c5

// MONT puts a*b/2^156 in Z13, Z14, Z15. Z0, Z1 and Z10 to Z12 are scratch.
#define MONT(a0, a1, a2, b0, b1, b2) \
	ZERO6(Z10, Z11, Z12, Z13, Z14, Z15); \
	MAC(a0, a1, a2, b0, b1, b2, Z10, Z11, Z12, Z13, Z14, Z15); \
	FOLD(Z10, Z11, Z12, Z13, Z0, Z1); \
	FOLD(Z11, Z12, Z13, Z14, Z0, Z1); \
	FOLD(Z12, Z13, Z14, Z15, Z0, Z1); \
	CARRY(Z13, Z14, Z15, Z0)

// func mulIFMA(dst, a, square *F128, blocks int)
//
// dst[i] = dst[i]*a[i] for 8*blocks elements. square is 2^312, which undoes the
// Montgomery factor.
TEXT ·mulIFMA(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ square+16(FP), DX
	MOVQ blocks+24(FP), CX
	CONSTANTS
	BROADCAST(DX, Z0, Z1)
	SPLIT(Z0, Z1, Z25, Z26, Z27, Z2)
mulloop:
	LOAD(DI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	LOAD(SI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MONT(Z3, Z4, Z5, Z6, Z7, Z8)
	VMOVDQA64 Z13, Z3
	VMOVDQA64 Z14, Z4
	VMOVDQA64 Z15, Z5
	MONT(Z3, Z4, Z5, Z25, Z26, Z27)
	CANON(Z13, Z14, Z15, Z0, Z1, Z2, Z3, Z4, Z5)
	STORE(DI, Z0, Z1, Z2)
	ADDQ $128, SI
	ADDQ $128, DI
	DECQ CX
	JNZ  mulloop
	VZEROUPPER
	RET

// func dotIFMA(acc *[48]uint64, a, b *F128, blocks int)
//
// Adds the products of 8*blocks elements to the six columns of eight lanes.
TEXT ·dotIFMA(SB), NOSPLIT, $0-32
	MOVQ acc+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ blocks+24(FP), CX
	CONSTANTS
	ZERO6(Z10, Z11, Z12, Z13, Z14, Z15)
dotloop:
	LOAD(SI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	LOAD(DX, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MAC(Z3, Z4, Z5, Z6, Z7, Z8, Z10, Z11, Z12, Z13, Z14, Z15)
	ADDQ $128, SI
	ADDQ $128, DX
	DECQ CX
	JNZ  dotloop
	VMOVDQU64 Z10, (DI)
	VMOVDQU64 Z11, 64(DI)
	VMOVDQU64 Z12, 128(DI)
	VMOVDQU64 Z13, 192(DI)
	VMOVDQU64 Z14, 256(DI)
	VMOVDQU64 Z15, 320(DI)
	VZEROUPPER
	RET

// func wiresIFMA(acc *[96]uint64, q *uint64, meas *F128, coeff, step *uint64, limbs, rows, stride int, mask uint64)
//
// For every row adds q*meas to the first six columns and coeff*meas to the last
// six, and sets q to q*step/2^156. q has three limbs of eight lanes a row; the
// three limbs of coeff and of step stand limbs bytes apart; meas is those words
// of eight elements that mask says, stride bytes from row to row. q and step may
// be as large as twice the prime.
TEXT ·wiresIFMA(SB), NOSPLIT, $0-72
	MOVQ acc+0(FP), DI
	MOVQ q+8(FP), SI
	MOVQ meas+16(FP), DX
	MOVQ coeff+24(FP), R8
	MOVQ step+32(FP), R9
	MOVQ limbs+40(FP), R11
	MOVQ rows+48(FP), CX
	MOVQ stride+56(FP), R10
	MOVQ mask+64(FP), AX
	KMOVW AX, K1
	SHRQ  $8, AX
	KMOVW AX, K2
	CONSTANTS
	VMOVDQU64 (DI), Z0
	VMOVDQU64 64(DI), Z1
	VMOVDQU64 128(DI), Z2
	VMOVDQU64 192(DI), Z3
	VMOVDQU64 256(DI), Z4
	VMOVDQU64 320(DI), Z5
	VMOVDQU64 384(DI), Z6
	VMOVDQU64 448(DI), Z7
	VMOVDQU64 512(DI), Z8
	VMOVDQU64 576(DI), Z9
	VMOVDQU64 640(DI), Z10
	VMOVDQU64 704(DI), Z11
wireloop:
	LOADMASKED(DX, Z21, Z22, Z23)
	SPLIT(Z21, Z22, Z12, Z13, Z14, Z23)
	VMOVDQU64 (SI), Z15
	VMOVDQU64 64(SI), Z16
	VMOVDQU64 128(SI), Z17
	VPBROADCASTQ (R9), Z18
	VPBROADCASTQ (R9)(R11*1), Z19
	VPBROADCASTQ (R9)(R11*2), Z20
	ZERO6(Z21, Z22, Z23, Z24, Z25, Z26)
	MAC(Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26)
	MAC(Z15, Z16, Z17, Z12, Z13, Z14, Z0, Z1, Z2, Z3, Z4, Z5)
	VPBROADCASTQ (R8), Z18
	VPBROADCASTQ (R8)(R11*1), Z19
	VPBROADCASTQ (R8)(R11*2), Z20
	FOLD(Z21, Z22, Z23, Z24, Z15, Z16)
	FOLD(Z22, Z23, Z24, Z25, Z15, Z16)
	FOLD(Z23, Z24, Z25, Z26, Z15, Z16)
	MAC(Z18, Z19, Z20, Z12, Z13, Z14, Z6, Z7, Z8, Z9, Z10, Z11)
	CARRY(Z24, Z25, Z26, Z15)
	VMOVDQU64 Z24, (SI)
	VMOVDQU64 Z25, 64(SI)
	VMOVDQU64 Z26, 128(SI)
	ADDQ R10, DX
	ADDQ $192, SI
	ADDQ $8, R8
	ADDQ $8, R9
	DECQ CX
	JNZ  wireloop
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VMOVDQU64 Z4, 256(DI)
	VMOVDQU64 Z5, 320(DI)
	VMOVDQU64 Z6, 384(DI)
	VMOVDQU64 Z7, 448(DI)
	VMOVDQU64 Z8, 512(DI)
	VMOVDQU64 Z9, 576(DI)
	VMOVDQU64 Z10, 640(DI)
	VMOVDQU64 Z11, 704(DI)
	VZEROUPPER
	RET

// BUTTERFLY writes a+y to (pa) for limbs a and y below the prime, and leaves
// a-y plus the prime in Z16, Z17 and Z18. Z19 to Z24 are scratch.
#define BUTTERFLY(a0, a1, a2, y0, y1, y2, pa) \
	VPADDQ y0, a0, Z16; VPADDQ y1, a1, Z17; VPADDQ y2, a2, Z18; \
	CARRY(Z16, Z17, Z18, Z19); \
	CANON(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24); \
	STORE(pa, Z19, Z20, Z21); \
	MOVQ $1, AX; VPBROADCASTQ AX, Z19; \
	VPSUBQ y0, a0, Z16; VPADDQ Z19, Z16, Z16; \
	VPSUBQ y1, a1, Z17; VPADDQ Z30, Z17, Z17; \
	VPSUBQ y2, a2, Z18; VPADDQ Z29, Z18, Z18; \
	VPSRAQ $52, Z16, Z19; VPANDQ Z31, Z16, Z16; VPADDQ Z19, Z17, Z17; \
	VPSRAQ $52, Z17, Z19; VPANDQ Z31, Z17, Z17; VPADDQ Z19, Z18, Z18

// func ditIFMA(a, b, tw *F128, rows int)
//
// For every row of eight elements, with y = b*tw/2^156: a, b = a+y, a-y. tw has
// one element a row.
TEXT ·ditIFMA(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ tw+16(FP), DX
	MOVQ rows+24(FP), CX
	CONSTANTS
ditloop:
	LOAD(SI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	BROADCAST(DX, Z0, Z1)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MONT(Z3, Z4, Z5, Z6, Z7, Z8)
	CANON(Z13, Z14, Z15, Z0, Z1, Z2, Z3, Z4, Z5)
	LOAD(DI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	BUTTERFLY(Z3, Z4, Z5, Z13, Z14, Z15, DI)
	CANON(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24)
	STORE(SI, Z19, Z20, Z21)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $16, DX
	DECQ CX
	JNZ  ditloop
	VZEROUPPER
	RET

// func difIFMA(a, b, tw *F128, rows int)
//
// For every row of eight elements: a, b = a+b, (a-b)*tw/2^156. tw has one element
// a row.
TEXT ·difIFMA(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ tw+16(FP), DX
	MOVQ rows+24(FP), CX
	CONSTANTS
difloop:
	LOAD(DI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	LOAD(SI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z13, Z14, Z15, Z2)
	BUTTERFLY(Z3, Z4, Z5, Z13, Z14, Z15, DI)
	BROADCAST(DX, Z0, Z1)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MONT(Z16, Z17, Z18, Z6, Z7, Z8)
	CANON(Z13, Z14, Z15, Z0, Z1, Z2, Z3, Z4, Z5)
	STORE(SI, Z0, Z1, Z2)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $16, DX
	DECQ CX
	JNZ  difloop
	VZEROUPPER
	RET

// func scaleIFMA(v, tw *F128, rows int)
//
// Every row of eight elements is multiplied by tw/2^156, which has one element a
// row.
TEXT ·scaleIFMA(SB), NOSPLIT, $0-24
	MOVQ v+0(FP), DI
	MOVQ tw+8(FP), DX
	MOVQ rows+16(FP), CX
	CONSTANTS
scaleloop:
	LOAD(DI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	BROADCAST(DX, Z0, Z1)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MONT(Z3, Z4, Z5, Z6, Z7, Z8)
	CANON(Z13, Z14, Z15, Z0, Z1, Z2, Z3, Z4, Z5)
	STORE(DI, Z0, Z1, Z2)
	ADDQ $128, DI
	ADDQ $16, DX
	DECQ CX
	JNZ  scaleloop
	VZEROUPPER
	RET

// func lagrangeIFMA(a, b, tw, c *F128, blocks int)
//
// For 8*blocks elements, with y = a*tw*c/2^312: a, b = a+y, a-y. c is one
// element.
TEXT ·lagrangeIFMA(SB), NOSPLIT, $0-40
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ tw+16(FP), DX
	MOVQ c+24(FP), R8
	MOVQ blocks+32(FP), CX
	CONSTANTS
	BROADCAST(R8, Z0, Z1)
	SPLIT(Z0, Z1, Z25, Z26, Z27, Z2)
lagloop:
	LOAD(DX, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	MONT(Z3, Z4, Z5, Z25, Z26, Z27)
	VMOVDQA64 Z13, Z6
	VMOVDQA64 Z14, Z7
	VMOVDQA64 Z15, Z8
	LOAD(DI, Z0, Z1, Z2)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	MONT(Z6, Z7, Z8, Z3, Z4, Z5)
	CANON(Z13, Z14, Z15, Z0, Z1, Z2, Z6, Z7, Z8)
	BUTTERFLY(Z3, Z4, Z5, Z13, Z14, Z15, DI)
	CANON(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24)
	STORE(SI, Z19, Z20, Z21)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	DECQ CX
	JNZ  lagloop
	VZEROUPPER
	RET

DATA lowWords<>+0(SB)/8, $0
DATA lowWords<>+8(SB)/8, $2
DATA lowWords<>+16(SB)/8, $4
DATA lowWords<>+24(SB)/8, $6
DATA lowWords<>+32(SB)/8, $8
DATA lowWords<>+40(SB)/8, $10
DATA lowWords<>+48(SB)/8, $12
DATA lowWords<>+56(SB)/8, $14
GLOBL lowWords<>(SB), RODATA|NOPTR, $64

DATA highWords<>+0(SB)/8, $1
DATA highWords<>+8(SB)/8, $3
DATA highWords<>+16(SB)/8, $5
DATA highWords<>+24(SB)/8, $7
DATA highWords<>+32(SB)/8, $9
DATA highWords<>+40(SB)/8, $11
DATA highWords<>+48(SB)/8, $13
DATA highWords<>+56(SB)/8, $15
GLOBL highWords<>(SB), RODATA|NOPTR, $64

// LOADORDER is LOADMASKED with the elements in their order.
#define LOADORDER(ptr, lo, hi, s, t) \
	VMOVDQU64.Z (ptr), K1, s; VMOVDQU64.Z 64(ptr), K2, t; \
	VMOVDQU64 lowWords<>(SB), lo; VPERMI2Q t, s, lo; \
	VMOVDQU64 highWords<>(SB), hi; VPERMI2Q t, s, hi

// POWER multiplies Z16, Z17, Z18 by Z6, Z7, Z8 and writes it as power n.
#define POWER(n) \
	MONT(Z16, Z17, Z18, Z6, Z7, Z8); \
	VMOVDQA64 Z13, Z16; VMOVDQA64 Z14, Z17; VMOVDQA64 Z15, Z18; \
	VMOVDQU64 Z13, (n*64)(SP); VMOVDQU64 Z14, (512+n*64)(SP); VMOVDQU64 Z15, (1024+n*64)(SP)

// SQUARE squares Z6, Z7, Z8.
#define SQUARE \
	MONT(Z6, Z7, Z8, Z6, Z7, Z8); \
	VMOVDQA64 Z13, Z6; VMOVDQA64 Z14, Z7; VMOVDQA64 Z15, Z8

// ROWSOFPOWERS writes one limb of the eight powers, a row for each lane. A row
// has the powers in the lane order that LOAD has.
#define ROWSOFPOWERS(limb) \
	VMOVDQU64 (limb*512+0)(SP), Z0; VMOVDQU64 (limb*512+256)(SP), Z1; \
	VMOVDQU64 (limb*512+64)(SP), Z2; VMOVDQU64 (limb*512+320)(SP), Z3; \
	VMOVDQU64 (limb*512+128)(SP), Z4; VMOVDQU64 (limb*512+384)(SP), Z5; \
	VMOVDQU64 (limb*512+192)(SP), Z6; VMOVDQU64 (limb*512+448)(SP), Z7; \
	VPUNPCKLQDQ Z1, Z0, Z16; VPUNPCKHQDQ Z1, Z0, Z17; \
	VPUNPCKLQDQ Z3, Z2, Z18; VPUNPCKHQDQ Z3, Z2, Z19; \
	VPUNPCKLQDQ Z5, Z4, Z20; VPUNPCKHQDQ Z5, Z4, Z21; \
	VPUNPCKLQDQ Z7, Z6, Z22; VPUNPCKHQDQ Z7, Z6, Z23; \
	VSHUFI64X2 $0x88, Z18, Z16, Z0; VSHUFI64X2 $0xDD, Z18, Z16, Z1; \
	VSHUFI64X2 $0x88, Z22, Z20, Z2; VSHUFI64X2 $0xDD, Z22, Z20, Z3; \
	VSHUFI64X2 $0x88, Z19, Z17, Z4; VSHUFI64X2 $0xDD, Z19, Z17, Z5; \
	VSHUFI64X2 $0x88, Z23, Z21, Z6; VSHUFI64X2 $0xDD, Z23, Z21, Z7; \
	VSHUFI64X2 $0x88, Z2, Z0, Z8; VMOVDQU64 Z8, (limb*64+0)(DI); \
	VSHUFI64X2 $0x88, Z6, Z4, Z9; VMOVDQU64 Z9, (limb*64+192)(DI); \
	VSHUFI64X2 $0x88, Z3, Z1, Z8; VMOVDQU64 Z8, (limb*64+384)(DI); \
	VSHUFI64X2 $0x88, Z7, Z5, Z9; VMOVDQU64 Z9, (limb*64+576)(DI); \
	VSHUFI64X2 $0xDD, Z2, Z0, Z8; VMOVDQU64 Z8, (limb*64+768)(DI); \
	VSHUFI64X2 $0xDD, Z6, Z4, Z9; VMOVDQU64 Z9, (limb*64+960)(DI); \
	VSHUFI64X2 $0xDD, Z3, Z1, Z8; VMOVDQU64 Z8, (limb*64+1152)(DI); \
	VSHUFI64X2 $0xDD, Z7, Z5, Z9; VMOVDQU64 Z9, (limb*64+1344)(DI)

// func powersIFMA(q, coeff, step *uint64, limbs int, c, r, square *F128, mask uint64)
//
// Makes ready eight rows for wiresIFMA from the elements c and r of each, those
// whose words are in mask: q = c*r, c*r^2, ..., c*r^8, coeff = c, and step =
// r^8*2^156. square is 2^312.
TEXT ·powersIFMA(SB), 0, $1536-64
	MOVQ q+0(FP), DI
	MOVQ coeff+8(FP), R8
	MOVQ step+16(FP), R9
	MOVQ limbs+24(FP), R11
	MOVQ c+32(FP), SI
	MOVQ r+40(FP), DX
	MOVQ square+48(FP), BX
	MOVQ mask+56(FP), AX
	KMOVW AX, K1
	SHRQ  $8, AX
	KMOVW AX, K2
	CONSTANTS
	LOADORDER(SI, Z0, Z1, Z2, Z3)
	SPLIT(Z0, Z1, Z16, Z17, Z18, Z2)
	VMOVDQU64 Z16, (R8)
	VMOVDQU64 Z17, (R8)(R11*1)
	VMOVDQU64 Z18, (R8)(R11*2)
	LOADORDER(DX, Z0, Z1, Z2, Z3)
	SPLIT(Z0, Z1, Z3, Z4, Z5, Z2)
	BROADCAST(BX, Z0, Z1)
	SPLIT(Z0, Z1, Z6, Z7, Z8, Z2)
	MONT(Z3, Z4, Z5, Z6, Z7, Z8)
	VMOVDQA64 Z13, Z6
	VMOVDQA64 Z14, Z7
	VMOVDQA64 Z15, Z8
	POWER(0)
	POWER(1)
	POWER(2)
	POWER(3)
	POWER(4)
	POWER(5)
	POWER(6)
	POWER(7)
	SQUARE
	SQUARE
	SQUARE
	VMOVDQU64 Z6, (R9)
	VMOVDQU64 Z7, (R9)(R11*1)
	VMOVDQU64 Z8, (R9)(R11*2)
	ROWSOFPOWERS(0)
	ROWSOFPOWERS(1)
	ROWSOFPOWERS(2)
	VZEROUPPER
	RET
