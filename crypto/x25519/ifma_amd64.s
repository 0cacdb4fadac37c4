//go:build !purego

#include "textflag.h"

// Eight elements of GF(2^255-19) at a time, with the 52-bit multiply-add of
// AVX512-IFMA, one element a lane. An element is five limbs of radix 2^51, each
// in its own register; in memory limb i of all lanes is at byte 64*i.
//
// An element is loose if its limbs are below 2^52: such are the factors of a
// product, for the instructions read no more bits. A product comes out as wide
// columns, each below 2^61; a sum or difference of two wide elements is below
// 2^62, and CARRY makes it loose again, with limbs below 2^51+2^16. So no
// product is carried that is only going to be added.
//
// The upper half of a product of limbs has weight 2^52, which is twice the next
// limb's: upper halves are summed first, doubled, and then joined by the lower
// ones.
//
// Z31 holds 2^51-1 in every lane, Z30 19, Z29 and Z28 the limbs (the first, the
// others) of 2^10 times the prime, Z27 121665 and Z26 its double.

#define CONSTANTS \
	MOVQ $0x7FFFFFFFFFFFF, AX; VPBROADCASTQ AX, Z31; \
	MOVQ $19, AX; VPBROADCASTQ AX, Z30; \
	MOVQ $0x1FFFFFFFFFFFB400, AX; VPBROADCASTQ AX, Z29; \
	MOVQ $0x1FFFFFFFFFFFFC00, AX; VPBROADCASTQ AX, Z28; \
	MOVQ $121665, AX; VPBROADCASTQ AX, Z27; \
	MOVQ $243330, AX; VPBROADCASTQ AX, Z26

#define LOAD(ptr, off, r0, r1, r2, r3, r4) \
	VMOVDQU64 off+0(ptr), r0; VMOVDQU64 off+64(ptr), r1; \
	VMOVDQU64 off+128(ptr), r2; VMOVDQU64 off+192(ptr), r3; \
	VMOVDQU64 off+256(ptr), r4

#define STORE(ptr, off, r0, r1, r2, r3, r4) \
	VMOVDQU64 r0, off+0(ptr); VMOVDQU64 r1, off+64(ptr); \
	VMOVDQU64 r2, off+128(ptr); VMOVDQU64 r3, off+192(ptr); \
	VMOVDQU64 r4, off+256(ptr)

#define LOADA(off) LOAD(DI, off, Z0, Z1, Z2, Z3, Z4)
#define LOADB(off) LOAD(DI, off, Z5, Z6, Z7, Z8, Z9)
#define LOADC(off) LOAD(DI, off, Z10, Z11, Z12, Z13, Z14)
#define STOREC(off) STORE(DI, off, Z10, Z11, Z12, Z13, Z14)

// SELECT puts into Z0 to Z4 the element at y where K1 is set, else that at x.
#define SELECT(x, y) \
	LOADA(x); \
	VMOVDQU64 y+0(DI), K1, Z0; VMOVDQU64 y+64(DI), K1, Z1; \
	VMOVDQU64 y+128(DI), K1, Z2; VMOVDQU64 y+192(DI), K1, Z3; \
	VMOVDQU64 y+256(DI), K1, Z4

// CARRY makes the wide columns Z10 to Z14 loose limbs. Z20 to Z24 are scratch.
#define CARRY \
	VPSRLQ $51, Z14, Z24; VPANDQ Z31, Z14, Z14; \
	VPSRLQ $51, Z10, Z20; VPANDQ Z31, Z10, Z10; \
	VPSRLQ $51, Z11, Z21; VPANDQ Z31, Z11, Z11; \
	VPSRLQ $51, Z12, Z22; VPANDQ Z31, Z12, Z12; \
	VPSRLQ $51, Z13, Z23; VPANDQ Z31, Z13, Z13; \
	VPMADD52LUQ Z30, Z24, Z10; \
	VPADDQ Z20, Z11, Z11; VPADDQ Z21, Z12, Z12; \
	VPADDQ Z22, Z13, Z13; VPADDQ Z23, Z14, Z14

// SUM adds the elements at x and y, DIFF subtracts y from x: Z10 to Z14, loose.
#define SUM(x, y) \
	LOADC(x); \
	VPADDQ y+0(DI), Z10, Z10; VPADDQ y+64(DI), Z11, Z11; \
	VPADDQ y+128(DI), Z12, Z12; VPADDQ y+192(DI), Z13, Z13; \
	VPADDQ y+256(DI), Z14, Z14; \
	CARRY

#define DIFF(x, y) \
	VPADDQ x+0(DI), Z29, Z10; VPADDQ x+64(DI), Z28, Z11; \
	VPADDQ x+128(DI), Z28, Z12; VPADDQ x+192(DI), Z28, Z13; \
	VPADDQ x+256(DI), Z28, Z14; \
	VPSUBQ y+0(DI), Z10, Z10; VPSUBQ y+64(DI), Z11, Z11; \
	VPSUBQ y+128(DI), Z12, Z12; VPSUBQ y+192(DI), Z13, Z13; \
	VPSUBQ y+256(DI), Z14, Z14; \
	CARRY

#define DOUBLE(r) VPADDQ r, r, r
#define LO(a, b, c) VPMADD52LUQ b, a, c
#define HI(a, b, c) VPMADD52HUQ b, a, c

#define ZERO \
	VPXORQ Z11, Z11, Z11; VPXORQ Z12, Z12, Z12; VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; VPXORQ Z15, Z15, Z15; VPXORQ Z16, Z16, Z16; \
	VPXORQ Z17, Z17, Z17; VPXORQ Z18, Z18, Z18; VPXORQ Z19, Z19, Z19

// FOLD adds 19 times the columns Z15 to Z19 to the columns Z10 to Z14, of which
// the last four are doubled first and the first is still empty. Z20 to Z24 are
// scratch.
#define FOLD \
	VPSLLQ $4, Z15, Z20; VPSLLQ $4, Z16, Z21; VPSLLQ $4, Z17, Z22; \
	VPSLLQ $4, Z18, Z23; VPSLLQ $4, Z19, Z24; \
	VPADDQ Z16, Z11, Z11; VPADDQ Z17, Z12, Z12; \
	VPADDQ Z18, Z13, Z13; VPADDQ Z19, Z14, Z14; \
	VPADDQ Z15, Z20, Z20; VPADDQ Z16, Z21, Z21; VPADDQ Z17, Z22, Z22; \
	VPADDQ Z18, Z23, Z23; VPADDQ Z19, Z24, Z24; \
	VPADDQ Z15, Z15, Z10; DOUBLE(Z11); DOUBLE(Z12); DOUBLE(Z13); DOUBLE(Z14); \
	VPADDQ Z20, Z10, Z10; VPADDQ Z21, Z11, Z11; VPADDQ Z22, Z12, Z12; \
	VPADDQ Z23, Z13, Z13; VPADDQ Z24, Z14, Z14

// MUL multiplies Z0 to Z4 by Z5 to Z9 into the wide columns Z10 to Z14. Z15 to
// Z24 are scratch.
#define MUL \
	ZERO; \
	HI(Z0, Z9, Z15); HI(Z1, Z9, Z16); HI(Z2, Z9, Z17); HI(Z3, Z9, Z18); HI(Z4, Z9, Z19); \
	HI(Z1, Z8, Z15); HI(Z2, Z8, Z16); HI(Z3, Z8, Z17); HI(Z4, Z8, Z18); \
	HI(Z0, Z5, Z11); HI(Z0, Z6, Z12); HI(Z0, Z7, Z13); HI(Z0, Z8, Z14); \
	HI(Z2, Z7, Z15); HI(Z3, Z7, Z16); HI(Z4, Z7, Z17); \
	HI(Z1, Z5, Z12); HI(Z1, Z6, Z13); HI(Z1, Z7, Z14); \
	HI(Z3, Z6, Z15); HI(Z4, Z6, Z16); \
	HI(Z2, Z5, Z13); HI(Z2, Z6, Z14); \
	HI(Z4, Z5, Z15); HI(Z3, Z5, Z14); \
	DOUBLE(Z19); DOUBLE(Z18); DOUBLE(Z17); DOUBLE(Z16); DOUBLE(Z15); \
	LO(Z4, Z9, Z18); LO(Z3, Z9, Z17); LO(Z2, Z9, Z16); LO(Z1, Z9, Z15); \
	LO(Z4, Z8, Z17); LO(Z3, Z8, Z16); LO(Z2, Z8, Z15); \
	LO(Z4, Z7, Z16); LO(Z3, Z7, Z15); \
	LO(Z4, Z6, Z15); \
	FOLD; \
	LO(Z0, Z5, Z10); LO(Z0, Z6, Z11); LO(Z0, Z7, Z12); LO(Z0, Z8, Z13); LO(Z0, Z9, Z14); \
	LO(Z1, Z5, Z11); LO(Z1, Z6, Z12); LO(Z1, Z7, Z13); LO(Z1, Z8, Z14); \
	LO(Z2, Z5, Z12); LO(Z2, Z6, Z13); LO(Z2, Z7, Z14); \
	LO(Z3, Z5, Z13); LO(Z3, Z6, Z14); \
	LO(Z4, Z5, Z14)

// SQUARE squares Z0 to Z4 into the wide columns Z10 to Z14. Z15 to Z24 are
// scratch. Products of two different limbs count twice.
#define SQUARE \
	ZERO; \
	HI(Z0, Z4, Z15); HI(Z1, Z4, Z16); HI(Z2, Z4, Z17); HI(Z3, Z4, Z18); \
	HI(Z0, Z1, Z12); HI(Z0, Z2, Z13); HI(Z0, Z3, Z14); \
	HI(Z1, Z3, Z15); HI(Z2, Z3, Z16); HI(Z1, Z2, Z14); \
	DOUBLE(Z18); DOUBLE(Z17); DOUBLE(Z16); DOUBLE(Z15); \
	DOUBLE(Z12); DOUBLE(Z13); DOUBLE(Z14); \
	HI(Z4, Z4, Z19); HI(Z3, Z3, Z17); HI(Z2, Z2, Z15); \
	LO(Z2, Z4, Z16); LO(Z3, Z4, Z17); LO(Z1, Z4, Z15); \
	HI(Z0, Z0, Z11); HI(Z1, Z1, Z13); \
	LO(Z2, Z3, Z15); \
	LO(Z0, Z1, Z11); LO(Z0, Z2, Z12); LO(Z0, Z3, Z13); LO(Z0, Z4, Z14); \
	LO(Z1, Z2, Z13); LO(Z1, Z3, Z14); \
	DOUBLE(Z19); DOUBLE(Z18); DOUBLE(Z17); DOUBLE(Z16); DOUBLE(Z15); \
	LO(Z4, Z4, Z18); LO(Z3, Z3, Z16); \
	FOLD; \
	LO(Z0, Z0, Z10); LO(Z1, Z1, Z12); LO(Z2, Z2, Z14)

// MULTERM adds 121665 times the element Z0 to Z4 to the element Z10 to Z14:
// loose. Z15 to Z24 are scratch.
#define MULTERM \
	VPXORQ Z15, Z15, Z15; VPXORQ Z16, Z16, Z16; VPXORQ Z17, Z17, Z17; \
	VPXORQ Z18, Z18, Z18; VPXORQ Z19, Z19, Z19; VPXORQ Z20, Z20, Z20; \
	HI(Z4, Z26, Z20); \
	LO(Z0, Z27, Z15); LO(Z1, Z27, Z16); LO(Z2, Z27, Z17); LO(Z3, Z27, Z18); LO(Z4, Z27, Z19); \
	HI(Z0, Z26, Z11); HI(Z1, Z26, Z12); HI(Z2, Z26, Z13); HI(Z3, Z26, Z14); \
	LO(Z20, Z30, Z10); \
	VPANDQ Z31, Z15, Z15; VPANDQ Z31, Z16, Z16; VPANDQ Z31, Z17, Z17; \
	VPANDQ Z31, Z18, Z18; VPANDQ Z31, Z19, Z19; \
	VPADDQ Z15, Z10, Z10; VPADDQ Z16, Z11, Z11; VPADDQ Z17, Z12, Z12; \
	VPADDQ Z18, Z13, Z13; VPADDQ Z19, Z14, Z14; \
	CARRY

#define CTOA \
	VMOVDQA64 Z10, Z0; VMOVDQA64 Z11, Z1; VMOVDQA64 Z12, Z2; \
	VMOVDQA64 Z13, Z3; VMOVDQA64 Z14, Z4

#define CTOB \
	VMOVDQA64 Z10, Z5; VMOVDQA64 Z11, Z6; VMOVDQA64 Z12, Z7; \
	VMOVDQA64 Z13, Z8; VMOVDQA64 Z14, Z9

// Where the ladder's elements stand in its workspace: the names are those of
// RFC 7748, section 5.
#define X1 0
#define X2 320
#define Z2_ 640
#define X3 960
#define Z3_ 1280
#define A_ 1600
#define B_ 1920
#define C_ 2240
#define D_ 2560
#define AA_ 2880
#define BB_ 3200
#define DA_ 3520
#define CB_ 3840
#define E_ 4160

// func ladderIFMA(x, z, u *element, swaps *[4]uint64, work *eightSpace)
//
// The Montgomery ladder of RFC 7748, section 5, on eight u coordinates, over
// bits 254 to 0. Bit t of swaps is bit t of the scalar exclusive-or bit t+1; the
// scalar's bit 0 is 0. The result is x/z.
//
// Nothing is swapped: with (x2, z2) and (x3, z3) exchanged, DA+CB is the same
// and (DA-CB)^2, too. Only what AA and BB are squares of has to be selected.
TEXT ·ladderIFMA(SB), NOSPLIT, $0-40
	MOVQ u+16(FP), DX
	MOVQ swaps+24(FP), SI
	MOVQ work+32(FP), DI
	ADDQ $63, DI
	ANDQ $-64, DI
	CONSTANTS
	LOAD(DX, 0, Z0, Z1, Z2, Z3, Z4)
	STORE(DI, X1, Z0, Z1, Z2, Z3, Z4)
	STORE(DI, X3, Z0, Z1, Z2, Z3, Z4)
	VPXORQ Z0, Z0, Z0
	STORE(DI, X2, Z0, Z0, Z0, Z0, Z0)
	STORE(DI, Z2_, Z0, Z0, Z0, Z0, Z0)
	STORE(DI, Z3_, Z0, Z0, Z0, Z0, Z0)
	MOVQ $1, AX
	VPBROADCASTQ AX, Z0
	VMOVDQU64 Z0, X2(DI)
	VMOVDQU64 Z0, Z3_(DI)
	MOVQ $254, CX
step:
	MOVQ CX, AX
	SHRQ $6, AX
	MOVQ (SI)(AX*8), AX
	SHRQ CX, AX
	ANDQ $1, AX
	NEGQ AX
	KMOVW AX, K1

	SUM(X2, Z2_)
	STOREC(A_)
	SUM(X3, Z3_)
	STOREC(C_)
	DIFF(X2, Z2_)
	STOREC(B_)
	DIFF(X3, Z3_)
	STOREC(D_)

	SELECT(A_, C_)
	SQUARE
	CARRY
	STOREC(AA_)
	SELECT(B_, D_)
	SQUARE
	CARRY
	STOREC(BB_)
	LOADA(D_)
	LOADB(A_)
	MUL
	STOREC(DA_)
	LOADA(C_)
	LOADB(B_)
	MUL
	STOREC(CB_)

	DIFF(AA_, BB_)
	STOREC(E_)
	CTOA
	LOADC(AA_)
	MULTERM
	CTOB
	MUL
	STOREC(Z2_)
	DIFF(DA_, CB_)
	CTOA
	SQUARE
	CARRY
	CTOA
	LOADB(X1)
	MUL
	STOREC(Z3_)
	LOADA(AA_)
	LOADB(BB_)
	MUL
	STOREC(X2)
	SUM(DA_, CB_)
	CTOA
	SQUARE
	STOREC(X3)

	DECQ CX
	JGE  step

	MOVQ x+0(FP), DX
	LOADC(X2)
	CARRY
	STORE(DX, 0, Z10, Z11, Z12, Z13, Z14)
	MOVQ z+8(FP), DX
	LOADC(Z2_)
	CARRY
	STORE(DX, 0, Z10, Z11, Z12, Z13, Z14)
	VZEROUPPER
	RET

// func mulIFMA(dst, a, b *element)
//
// The product of two loose elements, loose.
TEXT ·mulIFMA(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	CONSTANTS
	LOAD(SI, 0, Z0, Z1, Z2, Z3, Z4)
	LOAD(DX, 0, Z5, Z6, Z7, Z8, Z9)
	MUL
	CARRY
	STOREC(0)
	VZEROUPPER
	RET

// func squareIFMA(dst, a *element, n int)
//
// The loose element a squared n times, n > 0: loose.
TEXT ·squareIFMA(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	LOAD(SI, 0, Z10, Z11, Z12, Z13, Z14)
again:
	CTOA
	SQUARE
	CARRY
	DECQ CX
	JNZ  again
	STOREC(0)
	VZEROUPPER
	RET
