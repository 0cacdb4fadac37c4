//go:build !purego

#include "textflag.h"

// SHA-256 (FIPS 180-4) of one block in each of two lanes, with the SHA extensions.
// A lane alone waits for the latency of SHA256RNDS2, so the lanes' instructions
// alternate, four rounds at a time. No address and no branch depends on data.

// ROUNDS does four rounds of a lane: k is the offset of their constants, m the words.
#define ROUNDS(k, m, abef, cdgh) \
	MOVO        m, X0          \
	PADDD       k(AX), X0      \
	SHA256RNDS2 X0, abef, cdgh \
	PSHUFD      $0x0e, X0, X0  \
	SHA256RNDS2 X0, cdgh, abef

// EXTEND completes the words next, of which m are the four before, last those before
// these, with t.
#define EXTEND(last, m, next, t) \
	MOVO       m, t        \
	PALIGNR    $4, last, t \
	PADDD      t, next     \
	SHA256MSG2 m, next

// LOAD reads four words.
#define LOAD(off, p, m) \
	MOVOU  off(p), m \
	PSHUFB X15, m

// PACK orders a state as the rounds want it: h is abef and l is cdgh then.
#define PACK(p, h, l, t) \
	MOVOU   (p), h       \
	MOVOU   16(p), l     \
	PSHUFD  $0xb1, h, h  \
	PSHUFD  $0x1b, l, l  \
	MOVO    h, t         \
	PALIGNR $8, l, h     \
	PBLENDW $0xf0, t, l

// UNPACK is its inverse, which adds the state before.
#define UNPACK(p, h, l, t) \
	PSHUFD  $0x1b, h, h  \
	PSHUFD  $0xb1, l, l  \
	MOVO    h, t         \
	PBLENDW $0xf0, l, h  \
	PALIGNR $8, t, l     \
	MOVOU   (p), t       \
	PADDD   t, h         \
	MOVOU   h, (p)       \
	MOVOU   16(p), t     \
	PADDD   t, l         \
	MOVOU   l, 16(p)

// func compressSHA(state *[2][8]uint32, first, second *[64]byte)
TEXT ·compressSHA(SB), NOSPLIT, $0-24
	MOVQ  state+0(FP), DI
	MOVQ  first+8(FP), SI
	MOVQ  second+16(FP), DX
	LEAQ  32(DI), R8
	LEAQ  ·roundConstants(SB), AX
	MOVOU ·flipWords(SB), X15

	PACK(DI, X1, X2, X7)
	PACK(R8, X8, X9, X14)

	LOAD(0, SI, X3)
	ROUNDS(0, X3, X1, X2)
	LOAD(0, DX, X10)
	ROUNDS(0, X10, X8, X9)
	LOAD(16, SI, X4)
	ROUNDS(16, X4, X1, X2)
	SHA256MSG1 X4, X3
	LOAD(16, DX, X11)
	ROUNDS(16, X11, X8, X9)
	SHA256MSG1 X11, X10
	LOAD(32, SI, X5)
	ROUNDS(32, X5, X1, X2)
	SHA256MSG1 X5, X4
	LOAD(32, DX, X12)
	ROUNDS(32, X12, X8, X9)
	SHA256MSG1 X12, X11
	LOAD(48, SI, X6)
	ROUNDS(48, X6, X1, X2)
	EXTEND(X5, X6, X3, X7)
	SHA256MSG1 X6, X5
	LOAD(48, DX, X13)
	ROUNDS(48, X13, X8, X9)
	EXTEND(X12, X13, X10, X14)
	SHA256MSG1 X13, X12
	ROUNDS(64, X3, X1, X2)
	EXTEND(X6, X3, X4, X7)
	SHA256MSG1 X3, X6
	ROUNDS(64, X10, X8, X9)
	EXTEND(X13, X10, X11, X14)
	SHA256MSG1 X10, X13
	ROUNDS(80, X4, X1, X2)
	EXTEND(X3, X4, X5, X7)
	SHA256MSG1 X4, X3
	ROUNDS(80, X11, X8, X9)
	EXTEND(X10, X11, X12, X14)
	SHA256MSG1 X11, X10
	ROUNDS(96, X5, X1, X2)
	EXTEND(X4, X5, X6, X7)
	SHA256MSG1 X5, X4
	ROUNDS(96, X12, X8, X9)
	EXTEND(X11, X12, X13, X14)
	SHA256MSG1 X12, X11
	ROUNDS(112, X6, X1, X2)
	EXTEND(X5, X6, X3, X7)
	SHA256MSG1 X6, X5
	ROUNDS(112, X13, X8, X9)
	EXTEND(X12, X13, X10, X14)
	SHA256MSG1 X13, X12
	ROUNDS(128, X3, X1, X2)
	EXTEND(X6, X3, X4, X7)
	SHA256MSG1 X3, X6
	ROUNDS(128, X10, X8, X9)
	EXTEND(X13, X10, X11, X14)
	SHA256MSG1 X10, X13
	ROUNDS(144, X4, X1, X2)
	EXTEND(X3, X4, X5, X7)
	SHA256MSG1 X4, X3
	ROUNDS(144, X11, X8, X9)
	EXTEND(X10, X11, X12, X14)
	SHA256MSG1 X11, X10
	ROUNDS(160, X5, X1, X2)
	EXTEND(X4, X5, X6, X7)
	SHA256MSG1 X5, X4
	ROUNDS(160, X12, X8, X9)
	EXTEND(X11, X12, X13, X14)
	SHA256MSG1 X12, X11
	ROUNDS(176, X6, X1, X2)
	EXTEND(X5, X6, X3, X7)
	SHA256MSG1 X6, X5
	ROUNDS(176, X13, X8, X9)
	EXTEND(X12, X13, X10, X14)
	SHA256MSG1 X13, X12
	ROUNDS(192, X3, X1, X2)
	EXTEND(X6, X3, X4, X7)
	SHA256MSG1 X3, X6
	ROUNDS(192, X10, X8, X9)
	EXTEND(X13, X10, X11, X14)
	SHA256MSG1 X10, X13
	ROUNDS(208, X4, X1, X2)
	EXTEND(X3, X4, X5, X7)
	ROUNDS(208, X11, X8, X9)
	EXTEND(X10, X11, X12, X14)
	ROUNDS(224, X5, X1, X2)
	EXTEND(X4, X5, X6, X7)
	ROUNDS(224, X12, X8, X9)
	EXTEND(X11, X12, X13, X14)
	ROUNDS(240, X6, X1, X2)
	ROUNDS(240, X13, X8, X9)

	UNPACK(DI, X1, X2, X7)
	UNPACK(R8, X8, X9, X14)
	RET

// func cpuid7() (ebx uint32)
TEXT ·cpuid7(SB), NOSPLIT, $0-4
	MOVL $0, ebx+0(FP)
	MOVL $0, AX
	CPUID
	CMPL AX, $7
	JLT  none
	MOVL $7, AX
	MOVL $0, CX
	CPUID
	MOVL BX, ebx+0(FP)

none:
	RET

DATA ·flipWords+0(SB)/8, $0x0405060700010203
DATA ·flipWords+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL ·flipWords(SB), RODATA|NOPTR, $16

DATA ·roundConstants+0(SB)/8, $0x71374491428a2f98
DATA ·roundConstants+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA ·roundConstants+16(SB)/8, $0x59f111f13956c25b
DATA ·roundConstants+24(SB)/8, $0xab1c5ed5923f82a4
DATA ·roundConstants+32(SB)/8, $0x12835b01d807aa98
DATA ·roundConstants+40(SB)/8, $0x550c7dc3243185be
DATA ·roundConstants+48(SB)/8, $0x80deb1fe72be5d74
DATA ·roundConstants+56(SB)/8, $0xc19bf1749bdc06a7
DATA ·roundConstants+64(SB)/8, $0xefbe4786e49b69c1
DATA ·roundConstants+72(SB)/8, $0x240ca1cc0fc19dc6
DATA ·roundConstants+80(SB)/8, $0x4a7484aa2de92c6f
DATA ·roundConstants+88(SB)/8, $0x76f988da5cb0a9dc
DATA ·roundConstants+96(SB)/8, $0xa831c66d983e5152
DATA ·roundConstants+104(SB)/8, $0xbf597fc7b00327c8
DATA ·roundConstants+112(SB)/8, $0xd5a79147c6e00bf3
DATA ·roundConstants+120(SB)/8, $0x1429296706ca6351
DATA ·roundConstants+128(SB)/8, $0x2e1b213827b70a85
DATA ·roundConstants+136(SB)/8, $0x53380d134d2c6dfc
DATA ·roundConstants+144(SB)/8, $0x766a0abb650a7354
DATA ·roundConstants+152(SB)/8, $0x92722c8581c2c92e
DATA ·roundConstants+160(SB)/8, $0xa81a664ba2bfe8a1
DATA ·roundConstants+168(SB)/8, $0xc76c51a3c24b8b70
DATA ·roundConstants+176(SB)/8, $0xd6990624d192e819
DATA ·roundConstants+184(SB)/8, $0x106aa070f40e3585
DATA ·roundConstants+192(SB)/8, $0x1e376c0819a4c116
DATA ·roundConstants+200(SB)/8, $0x34b0bcb52748774c
DATA ·roundConstants+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA ·roundConstants+216(SB)/8, $0x682e6ff35b9cca4f
DATA ·roundConstants+224(SB)/8, $0x78a5636f748f82ee
DATA ·roundConstants+232(SB)/8, $0x8cc7020884c87814
DATA ·roundConstants+240(SB)/8, $0xa4506ceb90befffa
DATA ·roundConstants+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL ·roundConstants(SB), RODATA|NOPTR, $256
