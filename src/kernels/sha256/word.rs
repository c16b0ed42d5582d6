/// What the compression function counts in.
pub(super) trait Word: Copy {
    fn splat(word: u32) -> Self;
    fn plus(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn shifted<const BITS: u32>(self) -> Self;
    fn rotated<const BITS: u32>(self) -> Self;
}

impl Word for u32 {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        word
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn shifted<const BITS: u32>(self) -> Self {
        self >> BITS
    }

    #[inline(always)]
    fn rotated<const BITS: u32>(self) -> Self {
        self.rotate_right(BITS)
    }
}
