//go:build !purego

#include "textflag.h"

// Four elements of GF(2^255-19) at a time, one a lane, in double precision. An element is
// five limbs of radix 2^51, each in its own register; in memory limb i of the four lanes is
// at byte 32*i of an element of the workspace, and at byte 64*i of one of Go.
//
// A limb is an integer in a double, so that it may have either sign. Two limbs a and b with
// |a*b| <= 2^102 are multiplied by two fused multiply-adds (Emmart, Zheng and Weems, "Faster
// modular exponentiation using double precision floating point arithmetic on the GPU", 2018,
// section III, there with truncation and 52 bits):
//
//	h = a*b + c1         c1 = 3*2^102
//	l = a*b + (c2 - h)   c2 = c1 + 3*2^51
//
// All doubles from 2^103 to 2^104 are multiples of 2^51, so h is c1 + 2^51*H, where H is
// the integer nearest to a*b/2^51; c2-h is exact, and l is 3*2^51 + L with L = a*b - 2^51*H,
// |L| <= 2^50. From 2^52 to 2^53 a double's bits are those of 2^52 plus its distance, so the
// bits of h and l are constants plus H and L, and are added up as integers. The rounding is
// to nearest: the functions set it. No double is subnormal, infinite or no number, so that
// the time of an instruction does not depend on it.
//
// An element is tight if its limbs are doubles of at most 2^50+2^13. The factors of a
// product are sums or differences of two tight elements and a tight one, or two that are
// nearly tight; only a square needs a tight one.
//
// An element is raw if its limbs are 64-bit integers that are, modulo 2^64, those of the
// product plus constants that come of the bits above. Raw limbs without the constants are
// below 2^57.5: at most 77 times L and 95 times H (|L| <= 2^50, |H| <= 2^50+2^23), because
// what is beyond 2^255 counts 19 times. Two raw elements are added or subtracted before they
// are carried. TestBounds follows all of this through a step.
//
// R8 holds the address of ·avx2Constants, whose order is that of avx2.go.

#define K_C1 0
#define K_C2 32
#define K_MASK 64
#define K_EXP 96
#define K_LIMB0 128
#define K_LIMB 160
#define K_19 192
#define K_121665 224
#define K_DOWN 256
#define K_DOWN19 288
#define K_ONE 320
#define K_DIFF 352
#define K_M_M 512
#define K_S 672
#define K_S_M 832
#define K_S_LESS_M 992
#define K_OUT_M 1152
#define K_OUT_S 1312

// The workspace, at DI. The names are those of RFC 7748, section 5. X2, Z2, X3, Z3, DA and
// CB are raw, the others doubles.
#define X1 0
#define A_ 160
#define B_ 320
#define C_ 480
#define D_ 640
#define AA_ 800
#define BB_ 960
#define E_ 1120
#define F_ 1280
#define DA_ 1440
#define CB_ 1600
#define X2 1760
#define Z2_ 1920
#define X3 2080
#define Z3_ 2240
#define COLUMNS 2400
#define SWAP 2528

#define LOADS(ptr, off, stride) \
	VMOVDQU off+0*stride(ptr), Y0; VMOVDQU off+1*stride(ptr), Y1; \
	VMOVDQU off+2*stride(ptr), Y2; VMOVDQU off+3*stride(ptr), Y3; \
	VMOVDQU off+4*stride(ptr), Y4

#define STORES(ptr, off, stride) \
	VMOVDQU Y0, off+0*stride(ptr); VMOVDQU Y1, off+1*stride(ptr); \
	VMOVDQU Y2, off+2*stride(ptr); VMOVDQU Y3, off+3*stride(ptr); \
	VMOVDQU Y4, off+4*stride(ptr)

#define LOAD(off) LOADS(DI, off, 32)
#define STORE(off) STORES(DI, off, 32)

// PRODUCT adds the two halves of the product of limbs a and b to the columns l and h, FIRST
// is PRODUCT where h is still empty, and BOTH where both are. Y12 is c1, Y13 c2; Y14 and Y15
// are scratch.
#define BOTH(a, b, l, h) \
	VMOVAPD Y12, h; VFMADD231PD a, b, h; VSUBPD h, Y13, l; VFMADD231PD a, b, l

#define FIRST(a, b, l, h) \
	VMOVAPD Y12, h; VFMADD231PD a, b, h; VSUBPD h, Y13, Y15; VFMADD231PD a, b, Y15; \
	VPADDQ Y15, l, l

#define PRODUCT(a, b, l, h) \
	VMOVAPD Y12, Y14; VFMADD231PD a, b, Y14; VSUBPD Y14, Y13, Y15; VFMADD231PD a, b, Y15; \
	VPADDQ Y15, l, l; VPADDQ Y14, h, h

#define SPILL(column, r) VMOVDQU r, COLUMNS+32*column(DI)

// FOLDONE puts into dst the column and 19 times x.
#define FOLDONE(x, column, dst, s) \
	VPSLLQ $4, x, dst; VPADDQ x, x, s; VPADDQ column, x, x; VPADDQ s, dst, dst; VPADDQ x, dst, dst

// FOLD makes the raw element Y0 to Y4 of the columns 0 to 3 in memory, 4 in Y9, and 5 to 9
// in Y10, Y5, Y6, Y7 and Y8.
#define FOLD \
	FOLDONE(Y10, COLUMNS+0(DI), Y0, Y14); \
	FOLDONE(Y5, COLUMNS+32(DI), Y1, Y15); \
	FOLDONE(Y6, COLUMNS+64(DI), Y2, Y14); \
	FOLDONE(Y7, COLUMNS+96(DI), Y3, Y15); \
	FOLDONE(Y8, Y9, Y4, Y14)

// MUL multiplies Y0 to Y4 by the doubles at b: Y0 to Y4, raw. Y5 to Y11, Y14 and Y15 are
// scratch.
#define MUL(b) \
	VMOVUPD b+0(DI), Y11; \
	BOTH(Y0, Y11, Y5, Y6); FIRST(Y1, Y11, Y6, Y7); FIRST(Y2, Y11, Y7, Y8); \
	FIRST(Y3, Y11, Y8, Y9); FIRST(Y4, Y11, Y9, Y10); SPILL(0, Y5); \
	VMOVUPD b+32(DI), Y11; \
	PRODUCT(Y0, Y11, Y6, Y7); PRODUCT(Y1, Y11, Y7, Y8); PRODUCT(Y2, Y11, Y8, Y9); \
	PRODUCT(Y3, Y11, Y9, Y10); FIRST(Y4, Y11, Y10, Y5); SPILL(1, Y6); \
	VMOVUPD b+64(DI), Y11; \
	PRODUCT(Y0, Y11, Y7, Y8); PRODUCT(Y1, Y11, Y8, Y9); PRODUCT(Y2, Y11, Y9, Y10); \
	PRODUCT(Y3, Y11, Y10, Y5); FIRST(Y4, Y11, Y5, Y6); SPILL(2, Y7); \
	VMOVUPD b+96(DI), Y11; \
	PRODUCT(Y0, Y11, Y8, Y9); PRODUCT(Y1, Y11, Y9, Y10); PRODUCT(Y2, Y11, Y10, Y5); \
	PRODUCT(Y3, Y11, Y5, Y6); FIRST(Y4, Y11, Y6, Y7); SPILL(3, Y8); \
	VMOVUPD b+128(DI), Y11; \
	PRODUCT(Y0, Y11, Y9, Y10); PRODUCT(Y1, Y11, Y10, Y5); PRODUCT(Y2, Y11, Y5, Y6); \
	PRODUCT(Y3, Y11, Y6, Y7); FIRST(Y4, Y11, Y7, Y8); \
	FOLD

// SQUARE squares the tight Y0 to Y4: Y0 to Y4, raw. Products of two different limbs count
// twice. Y5 to Y11, Y14 and Y15 are scratch.
#define SQUARE \
	BOTH(Y0, Y0, Y5, Y6); VADDPD Y0, Y0, Y11; \
	FIRST(Y11, Y1, Y6, Y7); FIRST(Y11, Y2, Y7, Y8); FIRST(Y11, Y3, Y8, Y9); \
	FIRST(Y11, Y4, Y9, Y10); SPILL(0, Y5); SPILL(1, Y6); \
	PRODUCT(Y1, Y1, Y7, Y8); VADDPD Y1, Y1, Y11; \
	PRODUCT(Y11, Y2, Y8, Y9); PRODUCT(Y11, Y3, Y9, Y10); FIRST(Y11, Y4, Y10, Y5); \
	SPILL(2, Y7); SPILL(3, Y8); \
	PRODUCT(Y2, Y2, Y9, Y10); VADDPD Y2, Y2, Y11; \
	PRODUCT(Y11, Y3, Y10, Y5); FIRST(Y11, Y4, Y5, Y6); \
	PRODUCT(Y3, Y3, Y5, Y6); VADDPD Y3, Y3, Y11; \
	FIRST(Y11, Y4, Y6, Y7); \
	FIRST(Y4, Y4, Y7, Y8); \
	FOLD

// SPLIT adds the five constants at k to the raw Y0 to Y4, which makes them positive, and
// splits them at bit 51: Y0 to Y4 below, Y5 to Y9 above, of which Y9 is multiplied by 19.
#define SPLIT(k) \
	VMOVDQU K_MASK(R8), Y10; \
	VPADDQ k+128(R8), Y4, Y4; VPADDQ k+0(R8), Y0, Y0; VPADDQ k+32(R8), Y1, Y1; \
	VPADDQ k+64(R8), Y2, Y2; VPADDQ k+96(R8), Y3, Y3; \
	VPSRLQ $51, Y4, Y9; VPSRLQ $51, Y0, Y5; VPSRLQ $51, Y1, Y6; \
	VPSRLQ $51, Y2, Y7; VPSRLQ $51, Y3, Y8; \
	VPMULUDQ K_19(R8), Y9, Y9; \
	VPAND Y10, Y0, Y0; VPAND Y10, Y1, Y1; VPAND Y10, Y2, Y2; \
	VPAND Y10, Y3, Y3; VPAND Y10, Y4, Y4

#define JOIN \
	VPADDQ Y5, Y1, Y1; VPADDQ Y6, Y2, Y2; VPADDQ Y7, Y3, Y3; VPADDQ Y8, Y4, Y4; \
	VPADDQ Y9, Y0, Y0

// CARRY makes Y0 to Y4 tight, of which k takes the constants off and to which it adds
// 2^62+2^50. What is above bit 51 is then 2^11 too much, and 2^50 what is below: the last
// subtraction corrects both. The raw limbs are below 2^58.5, so what is above is at most
// 2^7.5, and 19 times that below 2^13.
#define CARRY(k) \
	SPLIT(k); \
	VMOVDQU K_EXP(R8), Y11; VMOVUPD K_LIMB(R8), Y10; \
	VPOR Y11, Y1, Y1; VPOR Y11, Y2, Y2; VPOR Y11, Y3, Y3; VPOR Y11, Y4, Y4; VPOR Y11, Y0, Y0; \
	JOIN; \
	VSUBPD Y10, Y1, Y1; VSUBPD Y10, Y2, Y2; VSUBPD Y10, Y3, Y3; VSUBPD Y10, Y4, Y4; \
	VSUBPD K_LIMB0(R8), Y0, Y0

// OUT makes Y0 to Y4 loose limbs of Go, below 2^51+2^16: k adds 2^11 times the prime.
#define OUT(k) SPLIT(k); JOIN

// SUM and DIFF make raw sums and differences.
#define SUM(x, y) \
	LOAD(x); VPADDQ y+0(DI), Y0, Y0; VPADDQ y+32(DI), Y1, Y1; VPADDQ y+64(DI), Y2, Y2; \
	VPADDQ y+96(DI), Y3, Y3; VPADDQ y+128(DI), Y4, Y4

#define DIFF(x, y) \
	LOAD(x); VPSUBQ y+0(DI), Y0, Y0; VPSUBQ y+32(DI), Y1, Y1; VPSUBQ y+64(DI), Y2, Y2; \
	VPSUBQ y+96(DI), Y3, Y3; VPSUBQ y+128(DI), Y4, Y4

// SELECT puts into Y0 to Y4 the element at y in the lanes to be swapped, else that at x.
#define SELECT(x, y) \
	VMOVDQU SWAP(DI), Y11; \
	LOAD(x); VBLENDVPD Y11, y+0(DI), Y0, Y0; VBLENDVPD Y11, y+32(DI), Y1, Y1; \
	VBLENDVPD Y11, y+64(DI), Y2, Y2; VBLENDVPD Y11, y+96(DI), Y3, Y3; \
	VBLENDVPD Y11, y+128(DI), Y4, Y4

// TERM stores limb i of E = AA-BB and leaves that of F = AA + 121665*E in v, without the
// multiples of 2^51, which go, negated, to h. The sum is rounded once to 53 bits, which
// moves it by 2^14 at most, and then to a multiple of 2^51, which is therefore as near as
// 2^50+2^14; the rest is computed exactly.
#define TERM(i, v, h) \
	VMOVUPD AA_+32*i(DI), Y14; VSUBPD BB_+32*i(DI), Y14, Y15; VMOVUPD Y15, E_+32*i(DI); \
	VMOVAPD Y14, h; VFMADD231PD Y15, Y11, h; VADDPD Y12, h, h; VSUBPD h, Y12, h; \
	VMOVAPD h, v; VFMADD231PD Y15, Y11, v; VADDPD Y14, v, v

// TERMS stores E, with limbs of at most 2^51+2^14, and leaves F in Y0 to Y4, with limbs of
// at most 2^50+2^22.
#define TERMS \
	VMOVUPD K_121665(R8), Y11; \
	TERM(4, Y4, Y9); TERM(0, Y0, Y5); TERM(1, Y1, Y6); TERM(2, Y2, Y7); TERM(3, Y3, Y8); \
	VMOVUPD K_DOWN(R8), Y11; VMOVUPD K_DOWN19(R8), Y10; \
	VFMADD231PD Y10, Y9, Y0; VFMADD231PD Y11, Y5, Y1; VFMADD231PD Y11, Y6, Y2; \
	VFMADD231PD Y11, Y7, Y3; VFMADD231PD Y11, Y8, Y4

// BEGIN sets the rounding to nearest with all exceptions masked, aligns the workspace DI,
// and loads what stays in registers; END restores the rounding.
#define BEGIN \
	STMXCSR saved-8(SP); MOVL $0x1F80, AX; MOVL AX, set-4(SP); LDMXCSR set-4(SP); \
	ADDQ $63, DI; ANDQ $-64, DI; \
	LEAQ ·avx2Constants(SB), R8; \
	VMOVUPD K_C1(R8), Y12; VMOVUPD K_C2(R8), Y13

#define END VZEROUPPER; LDMXCSR saved-8(SP)

// func ladderAVX2(x, z, u, swaps *uint64, work *fourSpace)
//
// The Montgomery ladder of RFC 7748, section 5, on the u coordinates of the four lanes of an
// element that begin at u, over bits 254 to 0. Bit t of a lane of swaps is bit t of its
// scalar exclusive-or bit t+1; the scalar's bit 0 is 0. The result is x/z, loose.
//
// Nothing is swapped: with (x2, z2) and (x3, z3) exchanged, DA+CB is the same and (DA-CB)^2,
// too. Only what AA and BB are squares of has to be selected.
TEXT ·ladderAVX2(SB), NOSPLIT, $8-40
	MOVQ u+16(FP), DX
	MOVQ swaps+24(FP), SI
	MOVQ work+32(FP), DI
	BEGIN
	LOADS(DX, 0, 64)
	CARRY(K_DIFF)
	STORE(X1)
	STORE(C_)
	STORE(D_)
	VMOVUPD K_ONE(R8), Y5
	VADDPD Y5, Y0, Y1
	VSUBPD Y5, Y0, Y2
	VMOVUPD Y1, C_(DI)
	VMOVUPD Y2, D_(DI)
	VMOVAPD Y5, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	VXORPD Y4, Y4, Y4
	STORE(A_)
	STORE(B_)
	MOVQ $254, CX
	JMP  square
step:
	SUM(X2, Z2_)
	CARRY(K_M_M)
	STORE(A_)
	DIFF(X2, Z2_)
	CARRY(K_DIFF)
	STORE(B_)
	SUM(X3, Z3_)
	CARRY(K_S_M)
	STORE(C_)
	DIFF(X3, Z3_)
	CARRY(K_S_LESS_M)
	STORE(D_)
square:
	MOVQ CX, AX
	SHRQ $6, AX
	SHLQ $6, AX
	MOVQ CX, BX
	NOTQ BX
	ANDQ $63, BX
	VMOVQ BX, X14
	VMOVDQU (SI)(AX*1), Y11
	VPSLLQ X14, Y11, Y11
	VMOVDQU Y11, SWAP(DI)

	SELECT(A_, C_)
	SQUARE
	CARRY(K_S)
	STORE(AA_)
	SELECT(B_, D_)
	SQUARE
	CARRY(K_S)
	STORE(BB_)
	LOAD(D_)
	MUL(A_)
	STORE(DA_)
	LOAD(C_)
	MUL(B_)
	STORE(CB_)

	TERMS
	MUL(E_)
	STORE(Z2_)
	DIFF(DA_, CB_)
	CARRY(K_DIFF)
	SQUARE
	CARRY(K_S)
	MUL(X1)
	STORE(Z3_)
	LOAD(AA_)
	MUL(BB_)
	STORE(X2)
	SUM(DA_, CB_)
	CARRY(K_M_M)
	SQUARE
	STORE(X3)

	DECQ CX
	JGE  step

	MOVQ x+0(FP), DX
	LOAD(X2)
	OUT(K_OUT_M)
	STORES(DX, 0, 64)
	MOVQ z+8(FP), DX
	LOAD(Z2_)
	OUT(K_OUT_M)
	STORES(DX, 0, 64)
	END
	RET

// func mulAVX2(dst, a, b *element, halves int, work *fourSpace)
//
// The product of two loose elements, loose, in lanes 0 to 3, and with two halves in
// lanes 4 to 7 as well.
TEXT ·mulAVX2(SB), NOSPLIT, $8-40
	MOVQ dst+0(FP), BX
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ halves+24(FP), CX
	MOVQ work+32(FP), DI
	BEGIN
half:
	LOADS(DX, 0, 64)
	CARRY(K_DIFF)
	STORE(B_)
	LOADS(SI, 0, 64)
	CARRY(K_DIFF)
	MUL(B_)
	OUT(K_OUT_M)
	STORES(BX, 0, 64)
	ADDQ $32, BX
	ADDQ $32, SI
	ADDQ $32, DX
	DECQ CX
	JNZ  half
	END
	RET

// func squareAVX2(dst, a *element, n, halves int, work *fourSpace)
//
// The loose element a squared n times, n > 0: loose. The halves are those of mulAVX2; two
// are computed by turns, so that one does not wait for itself.
TEXT ·squareAVX2(SB), NOSPLIT, $8-40
	MOVQ dst+0(FP), BX
	MOVQ a+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ halves+24(FP), DX
	MOVQ work+32(FP), DI
	BEGIN
	LOADS(SI, 0, 64)
	CARRY(K_DIFF)
	CMPQ DX, $1
	JNE  two
one:
	SQUARE
	DECQ CX
	JZ   last
	CARRY(K_S)
	JMP  one
last:
	OUT(K_OUT_S)
	STORES(BX, 0, 64)
	END
	RET
two:
	STORE(A_)
	LOADS(SI, 32, 64)
	CARRY(K_DIFF)
	STORE(B_)
again:
	LOAD(A_)
	SQUARE
	STORE(C_)
	CARRY(K_S)
	STORE(A_)
	LOAD(B_)
	SQUARE
	STORE(D_)
	CARRY(K_S)
	STORE(B_)
	DECQ CX
	JNZ  again
	LOAD(C_)
	OUT(K_OUT_S)
	STORES(BX, 0, 64)
	LOAD(D_)
	OUT(K_OUT_S)
	STORES(BX, 32, 64)
	END
	RET
