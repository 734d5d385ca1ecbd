/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCTP's checksum (RFC 9260 appendix A), for incremental updates.
 *
 * CRC32c is linear: where one of two messages of the same length has other bits, the two differ by
 * the CRC of those bits alone, begun with 0 and not complemented at the end. Bits at the beginning
 * of the message are, as a polynomial, multiplied by x^8 for each byte that follows them, and by
 * x^32. What follows itself does not matter.
 *
 * Polynomials over GF(2) are in the order in which CRC32c has them: bit 31 is x^0, bit 0 is x^31.
 */
#ifndef XFWD_CRC32C_H
#define XFWD_CRC32C_H

#include "checksum.h"

#define CRC32C_POLYNOMIAL 0x82f63b78U

/* The product modulo CRC32c's polynomial. A function of its own to the verifier. */
#ifdef __bpf__
__attribute__((noinline))
#else
static inline
#endif
__u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = (b >> 1) ^ (CRC32C_POLYNOMIAL & -(b & 1));
	}
	return product;
}

/* Times x^(8 * bytes), of fewer than 65536 bytes: a constant for each bit of their number. */
static __always_inline __u32 crc32c_shift(__u32 crc, __u32 bytes)
{
#define CRC32C_SHIFT(bit, power) \
	if (bytes & 1U << (bit)) \
		crc = crc32c_multiply(power, crc);
	CRC32C_SHIFT(0, 0x00800000)
	CRC32C_SHIFT(1, 0x00008000)
	CRC32C_SHIFT(2, 0x82f63b78)
	CRC32C_SHIFT(3, 0x6ea2d55c)
	CRC32C_SHIFT(4, 0x18b8ea18)
	CRC32C_SHIFT(5, 0x510ac59a)
	CRC32C_SHIFT(6, 0xb82be955)
	CRC32C_SHIFT(7, 0xb8fdb1e7)
	CRC32C_SHIFT(8, 0x88e56f72)
	CRC32C_SHIFT(9, 0x74c360a4)
	CRC32C_SHIFT(10, 0xe4172b16)
	CRC32C_SHIFT(11, 0x0d65762a)
	CRC32C_SHIFT(12, 0x35d73a62)
	CRC32C_SHIFT(13, 0x28461564)
	CRC32C_SHIFT(14, 0xbf455269)
	CRC32C_SHIFT(15, 0xe2ea32dc)
#undef CRC32C_SHIFT
	return crc;
}

/* To and from the order of bytes in which SCTP has it. */
static __always_inline __u32 crc32c_bytes(__u32 word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return word;
#else
	return __builtin_bswap32(word);
#endif
}

/*
 * What is to be XORed to the checksum of a message of `length` bytes where its first four change,
 * which are `from` before and `to` then. All of it as it lies in memory.
 */
static __always_inline __u32 crc32c_change(__u32 from, __u32 to, __u32 length)
{
	return crc32c_bytes(crc32c_shift(crc32c_bytes(from ^ to), length));
}

#endif
