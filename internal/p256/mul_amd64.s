//go:build !purego

#include "textflag.h"

// Field elements are four limbs, the lowest first, in Montgomery form (times 2^256
// modulo p), always below p. The subroutines below take pointers in SI and BX, write to
// DI, and overwrite AX, CX, DX, R8 to R15.
//
// The prime is 2^256 - 2^224 + 2^192 + 2^96 - 1, so that -1/p is 1 modulo 2^64, and
// a reduction adds m*p with m the lowest limb itself:
// m*p = m*2^96 + m*(2^256 - 2^224 + 2^192) - m, of which the last term clears the limb.

// ADDMP adds m*p to the limbs m, a1, a2, a3, a4, with the carry in c, which is zero
// before. It overwrites m, AX, CX, DX.
#define ADDMP(m, a1, a2, a3, a4, c) \
	MOVQ m, DX;    \
	SHLQ $32, DX;  \
	MOVQ m, AX;    \
	SHRQ $32, AX;  \
	MOVQ m, CX;    \
	SUBQ DX, CX;   \
	SBBQ AX, m;    \
	ADDQ DX, a1;   \
	ADCQ AX, a2;   \
	ADCQ CX, a3;   \
	ADCQ m, a4;    \
	ADCQ $0, c

// FOLD is ADDMP for four limbs: m becomes the highest.
#define FOLD(m, a1, a2, a3) \
	MOVQ m, DX;    \
	SHLQ $32, DX;  \
	MOVQ m, AX;    \
	SHRQ $32, AX;  \
	MOVQ m, CX;    \
	SUBQ DX, CX;   \
	SBBQ AX, m;    \
	ADDQ DX, a1;   \
	ADCQ AX, a2;   \
	ADCQ CX, a3;   \
	ADCQ $0, m

// MULADD adds (SI) times DX to a0 to a3 and h. It sets c to zero first.
#define MULADD(a0, a1, a2, a3, h, c) \
	XORQ  c, c;             \
	MULXQ 0(SI), AX, CX;    \
	ADCXQ AX, a0;           \
	ADOXQ CX, a1;           \
	MULXQ 8(SI), AX, CX;    \
	ADCXQ AX, a1;           \
	ADOXQ CX, a2;           \
	MULXQ 16(SI), AX, CX;   \
	ADCXQ AX, a2;           \
	ADOXQ CX, a3;           \
	MULXQ 24(SI), AX, CX;   \
	ADCXQ AX, a3;           \
	ADOXQ CX, h;            \
	ADCXQ c, h

// STORE writes a0 to a3 with the carry c to DI, less p if they are not below it. It
// overwrites c, AX, CX, DX and t.
#define STORE(a0, a1, a2, a3, c, t) \
	MOVQ    $0x00000000ffffffff, DX; \
	MOVQ    $0xffffffff00000001, t;  \
	MOVQ    a0, AX;     \
	MOVQ    a1, CX;     \
	SUBQ    $-1, AX;    \
	SBBQ    DX, CX;     \
	MOVQ    a2, DX;     \
	SBBQ    $0, DX;     \
	MOVQ    a3, R14;    \
	SBBQ    t, R14;     \
	SBBQ    $0, c;      \
	CMOVQCC AX, a0;     \
	CMOVQCC CX, a1;     \
	CMOVQCC DX, a2;     \
	CMOVQCC R14, a3;    \
	MOVQ    a0, 0(DI);  \
	MOVQ    a1, 8(DI);  \
	MOVQ    a2, 16(DI); \
	MOVQ    a3, 24(DI)

#define CALL1(f, d, a) \
	LEAQ d, DI;  \
	LEAQ a, SI;  \
	CALL f<>(SB)

#define CALL2(f, d, a, b) \
	LEAQ d, DI;  \
	LEAQ a, SI;  \
	LEAQ b, BX;  \
	CALL f<>(SB)

// COPY copies a field element, by way of X0 and X1.
#define COPY(to, from, off) \
	MOVOU (off+0)(from), X0;  \
	MOVOU (off+16)(from), X1; \
	MOVOU X0, to;             \
	MOVOU X1, 16+to

// The frame of the functions of points.
#define PX 0(SP)
#define PY 32(SP)
#define PZ 64(SP)
#define T0 96(SP)
#define T1 128(SP)
#define T2 160(SP)
#define T3 192(SP)
#define T4 224(SP)
#define T5 256(SP)
#define T6 288(SP)
#define T7 320(SP)

// LOAD copies a point of three elements from AX to the frame, SAVE copies it back.
#define LOAD3 \
	MOVOU 0(AX), X0;   \
	MOVOU 16(AX), X1;  \
	MOVOU 32(AX), X2;  \
	MOVOU 48(AX), X3;  \
	MOVOU 64(AX), X4;  \
	MOVOU 80(AX), X5;  \
	MOVOU X0, 0(SP);   \
	MOVOU X1, 16(SP);  \
	MOVOU X2, 32(SP);  \
	MOVOU X3, 48(SP);  \
	MOVOU X4, 64(SP);  \
	MOVOU X5, 80(SP)

#define SAVE3 \
	MOVOU 0(SP), X0;   \
	MOVOU 16(SP), X1;  \
	MOVOU 32(SP), X2;  \
	MOVOU 48(SP), X3;  \
	MOVOU 64(SP), X4;  \
	MOVOU 80(SP), X5;  \
	MOVOU X0, 0(AX);   \
	MOVOU X1, 16(AX);  \
	MOVOU X2, 32(AX);  \
	MOVOU X3, 48(AX);  \
	MOVOU X4, 64(AX);  \
	MOVOU X5, 80(AX)

// mul sets (DI) = (SI) * (BX).
TEXT mul<>(SB), NOSPLIT, $0
	MOVQ  0(BX), DX
	XORQ  R13, R13
	MULXQ 0(SI), R8, R9
	MULXQ 8(SI), AX, R10
	ADDQ  AX, R9
	MULXQ 16(SI), AX, R11
	ADCQ  AX, R10
	MULXQ 24(SI), AX, R12
	ADCQ  AX, R11
	ADCQ  $0, R12
	ADDMP(R8, R9, R10, R11, R12, R13)

	MOVQ 8(BX), DX
	MULADD(R9, R10, R11, R12, R13, R8)
	ADDMP(R9, R10, R11, R12, R13, R8)

	MOVQ 16(BX), DX
	MULADD(R10, R11, R12, R13, R8, R9)
	ADDMP(R10, R11, R12, R13, R8, R9)

	MOVQ 24(BX), DX
	MULADD(R11, R12, R13, R8, R9, R10)
	ADDMP(R11, R12, R13, R8, R9, R10)

	STORE(R12, R13, R8, R9, R10, R11)
	RET

// sqr sets (DI) = (SI)^2. It overwrites BX too.
TEXT sqr<>(SB), NOSPLIT, $0
	MOVQ  0(SI), DX
	MULXQ 8(SI), R9, R10
	MULXQ 16(SI), AX, R11
	ADDQ  AX, R10
	MULXQ 24(SI), AX, R12
	ADCQ  AX, R11
	ADCQ  $0, R12
	MOVQ  8(SI), DX
	MULXQ 16(SI), AX, CX
	ADDQ  AX, R11
	ADCQ  CX, R12
	MULXQ 24(SI), AX, R13
	ADCQ  $0, R13
	ADDQ  AX, R12
	ADCQ  $0, R13
	MOVQ  16(SI), DX
	MULXQ 24(SI), AX, BX
	ADDQ  AX, R13
	ADCQ  $0, BX

	XORQ R14, R14
	ADDQ R9, R9
	ADCQ R10, R10
	ADCQ R11, R11
	ADCQ R12, R12
	ADCQ R13, R13
	ADCQ BX, BX
	ADCQ R14, R14

	MOVQ  0(SI), DX
	MULXQ DX, R8, AX
	ADDQ  AX, R9
	MOVQ  8(SI), DX
	MULXQ DX, AX, CX
	ADCQ  AX, R10
	ADCQ  CX, R11
	MOVQ  16(SI), DX
	MULXQ DX, AX, CX
	ADCQ  AX, R12
	ADCQ  CX, R13
	MOVQ  24(SI), DX
	MULXQ DX, AX, CX
	ADCQ  AX, BX
	ADCQ  CX, R14

	FOLD(R8, R9, R10, R11)
	FOLD(R9, R10, R11, R8)
	FOLD(R10, R11, R8, R9)
	FOLD(R11, R8, R9, R10)

	XORQ R15, R15
	ADDQ R12, R8
	ADCQ R13, R9
	ADCQ BX, R10
	ADCQ R14, R11
	ADCQ $0, R15
	STORE(R8, R9, R10, R11, R15, R12)
	RET

// add sets (DI) = (SI) + (BX).
TEXT add<>(SB), NOSPLIT, $0
	XORQ R12, R12
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	ADDQ 0(BX), R8
	ADCQ 8(BX), R9
	ADCQ 16(BX), R10
	ADCQ 24(BX), R11
	ADCQ $0, R12
	STORE(R8, R9, R10, R11, R12, R13)
	RET

// sub sets (DI) = (SI) - (BX).
TEXT sub<>(SB), NOSPLIT, $0
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	SUBQ 0(BX), R8
	SBBQ 8(BX), R9
	SBBQ 16(BX), R10
	SBBQ 24(BX), R11
	SBBQ AX, AX       // all ones if p is to be added
	MOVQ AX, CX
	MOVQ AX, DX
	SHRQ $32, CX      // the second limb of p
	MOVQ $0xffffffff00000001, R12
	ANDQ R12, DX
	ADDQ AX, R8
	ADCQ CX, R9
	ADCQ $0, R10
	ADCQ DX, R11
	MOVQ R8, 0(DI)
	MOVQ R9, 8(DI)
	MOVQ R10, 16(DI)
	MOVQ R11, 24(DI)
	RET

// func mulADX(z, x, y *Element)
TEXT ·mulADX(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), BX
	CALL mul<>(SB)
	RET

// func sqrADX(z, x *Element, n int)
TEXT ·sqrADX(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI

next:
	CALL sqr<>(SB)
	MOVQ DI, SI
	DECQ n+16(FP)
	JNZ  next
	RET

// half sets (DI) = (SI)/2.
TEXT half<>(SB), NOSPLIT, $0
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	MOVQ R8, AX
	ANDQ $1, AX
	NEGQ AX           // all ones if p is to be added
	MOVQ AX, CX
	SHRQ $32, CX      // the second limb of p
	MOVQ $0xffffffff00000001, DX
	ANDQ AX, DX
	XORQ R12, R12
	ADDQ AX, R8
	ADCQ CX, R9
	ADCQ $0, R10
	ADCQ DX, R11
	ADCQ $0, R12
	SHRQ $1, R9, R8
	SHRQ $1, R10, R9
	SHRQ $1, R11, R10
	SHRQ $1, R12, R11
	MOVQ R8, 0(DI)
	MOVQ R9, 8(DI)
	MOVQ R10, 16(DI)
	MOVQ R11, 24(DI)
	RET

// func doubleADX(z, p *Point, n int)
//
// X3 = M^2 - 2B, Y3 = M(B - X3) - A^2/2, Z3 = 2YZ with A = (2Y)^2, B = AX and
// M = 3(X - Z^2)(X + Z^2): 4 products, 4 squares and 10 sums, in an order in which those
// that follow each other mostly do not wait for each other.
TEXT ·doubleADX(SB), NOSPLIT, $256-24
	MOVQ p+8(FP), AX
	LOAD3

next:
	CALL1(sqr, T1, PZ)
	CALL2(add, T0, PY, PY)
	CALL1(sqr, T2, T0)           // A
	CALL2(mul, PZ, T0, PZ)       // Z3
	CALL2(sub, T3, PX, T1)
	CALL2(add, T4, PX, T1)
	CALL2(mul, T3, T3, T4)
	CALL2(mul, T4, T2, PX)       // B
	CALL1(sqr, T2, T2)
	CALL2(add, T0, T3, T3)
	CALL2(add, T3, T0, T3)       // M
	CALL1(sqr, PX, T3)
	CALL1(half, T2, T2)          // A^2/2
	CALL2(add, T0, T4, T4)
	CALL2(sub, PX, PX, T0)       // X3
	CALL2(sub, T4, T4, PX)
	CALL2(mul, PY, T3, T4)
	CALL2(sub, PY, PY, T2)       // Y3
	DECQ n+16(FP)
	JNZ  next

	MOVQ z+0(FP), AX
	SAVE3
	RET

// func doublePairADX(p, q *Point, n int)
//
// doubleADX of two points in place, step by step: neither waits for itself.
TEXT ·doublePairADX(SB), NOSPLIT, $512-24
	MOVQ p+0(FP), AX
	MOVOU 0(AX), X0
	MOVOU 16(AX), X1
	MOVOU 32(AX), X2
	MOVOU 48(AX), X3
	MOVOU 64(AX), X4
	MOVOU 80(AX), X5
	MOVOU X0, 0(SP)
	MOVOU X1, 16(SP)
	MOVOU X2, 32(SP)
	MOVOU X3, 48(SP)
	MOVOU X4, 64(SP)
	MOVOU X5, 80(SP)
	MOVQ q+8(FP), AX
	MOVOU 0(AX), X0
	MOVOU 16(AX), X1
	MOVOU 32(AX), X2
	MOVOU 48(AX), X3
	MOVOU 64(AX), X4
	MOVOU 80(AX), X5
	MOVOU X0, 256(SP)
	MOVOU X1, 272(SP)
	MOVOU X2, 288(SP)
	MOVOU X3, 304(SP)
	MOVOU X4, 320(SP)
	MOVOU X5, 336(SP)

next:
	CALL1(sqr, 128(SP), 64(SP))
	CALL1(sqr, 384(SP), 320(SP))
	CALL2(add, 96(SP), 32(SP), 32(SP))
	CALL2(add, 352(SP), 288(SP), 288(SP))
	CALL1(sqr, 160(SP), 96(SP))
	CALL1(sqr, 416(SP), 352(SP))
	CALL2(mul, 64(SP), 96(SP), 64(SP))
	CALL2(mul, 320(SP), 352(SP), 320(SP))
	CALL2(sub, 192(SP), 0(SP), 128(SP))
	CALL2(sub, 448(SP), 256(SP), 384(SP))
	CALL2(add, 224(SP), 0(SP), 128(SP))
	CALL2(add, 480(SP), 256(SP), 384(SP))
	CALL2(mul, 192(SP), 192(SP), 224(SP))
	CALL2(mul, 448(SP), 448(SP), 480(SP))
	CALL2(mul, 224(SP), 160(SP), 0(SP))
	CALL2(mul, 480(SP), 416(SP), 256(SP))
	CALL1(sqr, 160(SP), 160(SP))
	CALL1(sqr, 416(SP), 416(SP))
	CALL2(add, 96(SP), 192(SP), 192(SP))
	CALL2(add, 352(SP), 448(SP), 448(SP))
	CALL2(add, 192(SP), 96(SP), 192(SP))
	CALL2(add, 448(SP), 352(SP), 448(SP))
	CALL1(sqr, 0(SP), 192(SP))
	CALL1(sqr, 256(SP), 448(SP))
	CALL1(half, 160(SP), 160(SP))
	CALL1(half, 416(SP), 416(SP))
	CALL2(add, 96(SP), 224(SP), 224(SP))
	CALL2(add, 352(SP), 480(SP), 480(SP))
	CALL2(sub, 0(SP), 0(SP), 96(SP))
	CALL2(sub, 256(SP), 256(SP), 352(SP))
	CALL2(sub, 224(SP), 224(SP), 0(SP))
	CALL2(sub, 480(SP), 480(SP), 256(SP))
	CALL2(mul, 32(SP), 192(SP), 224(SP))
	CALL2(mul, 288(SP), 448(SP), 480(SP))
	CALL2(sub, 32(SP), 32(SP), 160(SP))
	CALL2(sub, 288(SP), 288(SP), 416(SP))
	DECQ n+16(FP)
	JNZ  next

	MOVQ p+0(FP), AX
	MOVOU 0(SP), X0
	MOVOU 16(SP), X1
	MOVOU 32(SP), X2
	MOVOU 48(SP), X3
	MOVOU 64(SP), X4
	MOVOU 80(SP), X5
	MOVOU X0, 0(AX)
	MOVOU X1, 16(AX)
	MOVOU X2, 32(AX)
	MOVOU X3, 48(AX)
	MOVOU X4, 64(AX)
	MOVOU X5, 80(AX)
	MOVQ q+8(FP), AX
	MOVOU 256(SP), X0
	MOVOU 272(SP), X1
	MOVOU 288(SP), X2
	MOVOU 304(SP), X3
	MOVOU 320(SP), X4
	MOVOU 336(SP), X5
	MOVOU X0, 0(AX)
	MOVOU X1, 16(AX)
	MOVOU X2, 32(AX)
	MOVOU X3, 48(AX)
	MOVOU X4, 64(AX)
	MOVOU X5, 80(AX)
	RET

// func addAffineADX(z, p *Point, q *Affine)
//
// The sum of two points that are neither equal nor opposite nor the identity, in the
// formulas of Cohen, Miyaji and Ono: 8 products and 3 squares.
TEXT ·addAffineADX(SB), NOSPLIT, $320-24
	MOVQ p+8(FP), AX
	LOAD3
	MOVQ q+16(FP), AX
	COPY(T0, AX, 0)
	COPY(T1, AX, 32)

	CALL1(sqr, T2, PZ)
	CALL2(mul, T3, T2, PZ)
	CALL2(mul, T0, T0, T2)       // U2
	CALL2(mul, T1, T1, T3)       // S2
	CALL2(sub, T0, T0, PX)       // H
	CALL1(sqr, T2, T0)           // H^2
	CALL2(sub, T1, T1, PY)       // R
	CALL2(mul, PZ, PZ, T0)       // Z3
	CALL2(mul, T3, T2, T0)       // H^3
	CALL2(mul, T2, T2, PX)       // V
	CALL1(sqr, PX, T1)
	CALL2(add, T0, T2, T2)
	CALL2(sub, PX, PX, T3)
	CALL2(mul, T3, T3, PY)
	CALL2(sub, PX, PX, T0)       // X3
	CALL2(sub, T2, T2, PX)
	CALL2(mul, T2, T2, T1)
	CALL2(sub, PY, T2, T3)       // Y3

	MOVQ z+0(FP), AX
	SAVE3
	RET

// func addADX(z, p, q *Point)
//
// As addAffineADX, for two points with a Z: 12 products and 4 squares.
TEXT ·addADX(SB), NOSPLIT, $352-24
	MOVQ p+8(FP), AX
	LOAD3
	MOVQ q+16(FP), AX
	COPY(T0, AX, 0)
	COPY(T1, AX, 32)
	COPY(T4, AX, 64)

	CALL1(sqr, T5, T4)
	CALL1(sqr, T2, PZ)
	CALL2(mul, T6, T5, T4)
	CALL2(mul, T7, T2, PZ)
	CALL2(mul, PX, PX, T5)       // U1
	CALL2(mul, T0, T0, T2)       // U2
	CALL2(mul, PY, PY, T6)       // S1
	CALL2(mul, T1, T1, T7)       // S2
	CALL2(sub, T0, T0, PX)       // H
	CALL2(mul, PZ, PZ, T4)
	CALL1(sqr, T2, T0)           // H^2
	CALL2(sub, T1, T1, PY)       // R
	CALL2(mul, PZ, PZ, T0)       // Z3
	CALL2(mul, T3, T2, T0)       // H^3
	CALL2(mul, T2, T2, PX)       // V
	CALL1(sqr, PX, T1)
	CALL2(add, T0, T2, T2)
	CALL2(sub, PX, PX, T3)
	CALL2(mul, T3, T3, PY)
	CALL2(sub, PX, PX, T0)       // X3
	CALL2(sub, T2, T2, PX)
	CALL2(mul, T2, T2, T1)
	CALL2(sub, PY, T2, T3)       // Y3

	MOVQ z+0(FP), AX
	SAVE3
	RET

// func selectADX(z *Affine, table *[16]Affine, index uint64)
//
// It reads the whole table.
TEXT ·selectADX(SB), NOSPLIT, $0-24
	MOVQ  z+0(FP), DI
	MOVQ  table+8(FP), SI
	MOVQ  index+16(FP), X8
	PSHUFD $0, X8, X8
	PXOR  X0, X0
	PXOR  X1, X1
	PXOR  X2, X2
	PXOR  X3, X3
	PXOR  X9, X9        // the index of the entry
	PCMPEQL X10, X10
	PSRLL $31, X10      // ones
	MOVQ  $16, CX

next:
	MOVO  X9, X11
	PCMPEQL X8, X11
	PADDL X10, X9
	MOVOU 0(SI), X4
	MOVOU 16(SI), X5
	MOVOU 32(SI), X6
	MOVOU 48(SI), X7
	PAND  X11, X4
	PAND  X11, X5
	PAND  X11, X6
	PAND  X11, X7
	POR   X4, X0
	POR   X5, X1
	POR   X6, X2
	POR   X7, X3
	ADDQ  $64, SI
	DECQ  CX
	JNZ   next

	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	RET
