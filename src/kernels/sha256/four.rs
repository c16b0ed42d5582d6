//! A word of each of four messages: one vector where there are vectors, else four words.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(super) use apart::Four;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) use together::Four;

pub(super) const LANES: usize = 4;

/// With the instructions of `simd128`, which compilers do not find by themselves in rotations of lanes.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod together {
    use super::super::word::Word;
    use super::LANES;
    use core::arch::wasm32::{
        i32x4_add, u32x4, u32x4_extract_lane, u32x4_shl, u32x4_shr, u32x4_splat, v128, v128_and, v128_or,
        v128_xor,
    };

    #[derive(Clone, Copy)]
    pub(in super::super) struct Four(v128);

    impl Four {
        /// From how many messages on all four lanes are faster than one message after the other.
        pub(in super::super) const WORTH: usize = 2;

        #[inline(always)]
        pub(in super::super) fn of([a, b, c, d]: [u32; LANES]) -> Self {
            Self(u32x4(a, b, c, d))
        }

        #[inline(always)]
        pub(in super::super) fn lanes(self) -> [u32; LANES] {
            [
                u32x4_extract_lane::<0>(self.0),
                u32x4_extract_lane::<1>(self.0),
                u32x4_extract_lane::<2>(self.0),
                u32x4_extract_lane::<3>(self.0),
            ]
        }
    }

    impl Word for Four {
        #[inline(always)]
        fn splat(word: u32) -> Self {
            Self(u32x4_splat(word))
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            Self(i32x4_add(self.0, other.0))
        }

        #[inline(always)]
        fn and(self, other: Self) -> Self {
            Self(v128_and(self.0, other.0))
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        #[inline(always)]
        fn shifted<const BITS: u32>(self) -> Self {
            Self(u32x4_shr(self.0, BITS))
        }

        #[inline(always)]
        fn rotated<const BITS: u32>(self) -> Self {
            Self(v128_or(u32x4_shr(self.0, BITS), u32x4_shl(self.0, 32 - BITS)))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod apart {
    use super::super::word::Word;
    use super::LANES;

    #[derive(Clone, Copy)]
    #[repr(align(16))]
    pub(in super::super) struct Four([u32; LANES]);

    impl Four {
        /// Here lanes save nothing.
        pub(in super::super) const WORTH: usize = LANES;

        #[inline(always)]
        pub(in super::super) fn of(lanes: [u32; LANES]) -> Self {
            Self(lanes)
        }

        #[inline(always)]
        pub(in super::super) fn lanes(self) -> [u32; LANES] {
            self.0
        }

        #[inline(always)]
        fn each(self, change: impl Fn(u32) -> u32) -> Self {
            Self(self.0.map(change))
        }

        #[inline(always)]
        fn with(self, other: Self, join: impl Fn(u32, u32) -> u32) -> Self {
            Self(core::array::from_fn(|lane| join(self.0[lane], other.0[lane])))
        }
    }

    impl Word for Four {
        #[inline(always)]
        fn splat(word: u32) -> Self {
            Self([word; LANES])
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            self.with(other, u32::plus)
        }

        #[inline(always)]
        fn and(self, other: Self) -> Self {
            self.with(other, u32::and)
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            self.with(other, u32::xor)
        }

        #[inline(always)]
        fn shifted<const BITS: u32>(self) -> Self {
            self.each(u32::shifted::<BITS>)
        }

        #[inline(always)]
        fn rotated<const BITS: u32>(self) -> Self {
            self.each(u32::rotated::<BITS>)
        }
    }
}
