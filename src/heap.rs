//! The allocator of the modules that only numbers enter: free lists by size, over memory that only grows, as wasm memory does.
//!
//! Sizes are powers of two and the middles between them, so at most a third of a block is unused, and what one table
//! outgrew serves the next. Nothing is ever merged: a world's tables double and stay. The allocator that the standard
//! library brings returns memory to nobody either, since wasm cannot, and weighs ten times as much.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{copy_nonoverlapping, null_mut};

/// Where memory comes from.
pub(crate) trait Pages {
    /// So many pages more: the address where they begin, or `None`.
    fn grow(&self, pages: usize) -> Option<usize>;
}

/// A heap over pages.
pub(crate) struct Heap<P> {
    pages: P,
    state: UnsafeCell<State>,
}

struct State {
    // The first free block of each size; a free block begins with the address of the next.
    free: [*mut u8; SIZES],
    // What is left of the pages.
    from: usize,
    to: usize,
}

const PAGE: usize = 1 << 16;
/// The largest block is one of 2^31 bytes.
const SIZES: usize = 64;
/// Blocks of all sizes lie at multiples of it: the least block is 16 bytes, and the middles are multiples of 8.
const ALIGN: usize = 8;

impl<P> Heap<P> {
    pub(crate) const fn new(pages: P) -> Self {
        Self {
            pages,
            state: UnsafeCell::new(State {
                free: [null_mut(); SIZES],
                from: 0,
                to: 0,
            }),
        }
    }
}

// SAFETY: wasm32-unknown-unknown without atomics has one thread, and no allocation happens inside another.
unsafe impl<P> Sync for Heap<P> {}

// SAFETY: a block is either in a free list or handed out once, `carve` never gives the same address twice, and a block of
// a size is at least as large as every layout of that size.
unsafe impl<P: Pages> GlobalAlloc for Heap<P> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((size, bytes)) = size_of(layout) else {
            return null_mut();
        };
        // SAFETY: see `Sync`; the reference ends with this call.
        let state = unsafe { &mut *self.state.get() };
        // Blocks of the lists are aligned to no more than this; who needs more gets a fresh one.
        if layout.align() <= ALIGN
            && let Some(first) = state.free.get_mut(size)
            && !first.is_null()
        {
            let block = *first;
            // SAFETY: a free block is ours, at least 16 bytes, and begins with the next.
            *first = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        state.carve(&self.pages, bytes, layout.align().max(ALIGN))
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `Sync`.
        let state = unsafe { &mut *self.state.get() };
        if let Some((size, _)) = size_of(layout)
            && let Some(first) = state.free.get_mut(size)
        {
            // SAFETY: the caller gives the block back, and it is at least 16 bytes.
            unsafe { block.cast::<*mut u8>().write(*first) };
            *first = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that it is a layout.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if size_of(new) == size_of(layout) {
            return block;
        }
        // SAFETY: the blocks are different, and each is as large as its layout says.
        unsafe {
            let larger = self.alloc(new);
            if !larger.is_null() {
                copy_nonoverlapping(block, larger, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            larger
        }
    }
}

impl State {
    /// A block that was never used before.
    fn carve(&mut self, pages: &impl Pages, bytes: usize, align: usize) -> *mut u8 {
        let mut block = self.from.next_multiple_of(align);
        if self.to.saturating_sub(block) < bytes {
            let more = bytes.saturating_add(align).div_ceil(PAGE);
            let Some(begin) = pages.grow(more) else {
                return null_mut();
            };
            // What was left goes on where the new pages begin, unless somebody else has grown the memory in between.
            if begin != self.to {
                self.from = begin;
                block = begin.next_multiple_of(align);
            }
            self.to = begin + more * PAGE;
        }
        self.from = block + bytes;
        block as *mut u8
    }
}

/// The number of a layout's size and its bytes; `None` above 2^31.
fn size_of(layout: Layout) -> Option<(usize, usize)> {
    let least = layout.size().max(16);
    let power = (least - 1).ilog2() as usize;
    if power > 30 {
        return None;
    }
    let middle = 3usize << (power - 1);
    Some(if least <= middle {
        (2 * power, middle)
    } else {
        (2 * power + 1, 2 << power)
    })
}

#[cfg(all(
    target_arch = "wasm32",
    not(target_feature = "atomics"),
    any(feature = "bindings", feature = "bindings-store")
))]
mod wasm {
    use super::{Heap, Pages};

    #[global_allocator]
    static HEAP: Heap<Memory> = Heap::new(Memory);

    struct Memory;

    impl Pages for Memory {
        fn grow(&self, pages: usize) -> Option<usize> {
            let before = core::arch::wasm32::memory_grow(0, pages);
            (before != usize::MAX).then_some(before * super::PAGE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A few pages from the allocator of the tests, now and then with a gap between them.
    struct Some64 {
        begin: usize,
        given: Cell<usize>,
        gap: usize,
    }

    impl Some64 {
        fn new(gap: usize) -> Self {
            let begin = Box::leak(vec![0u64; 65 * PAGE / 8].into_boxed_slice()).as_ptr() as usize;
            Self {
                begin: begin.next_multiple_of(PAGE),
                given: Cell::new(0),
                gap,
            }
        }
    }

    impl Pages for Some64 {
        fn grow(&self, pages: usize) -> Option<usize> {
            let begin = self.given.get() + self.gap;
            self.given.set(begin + pages);
            (begin + pages <= 64).then_some(self.begin + begin * PAGE)
        }
    }

    #[test]
    fn every_size_fits_its_block_and_wastes_at_most_a_third() {
        for bytes in (1..5000).chain((13..31).flat_map(|power| (1 << power) - 3..(1 << power) + 4)) {
            let layout = Layout::from_size_align(bytes, 8).unwrap();
            let (_, block) = size_of(layout).unwrap();
            assert!(block >= bytes && block % ALIGN == 0);
            assert!(bytes <= 16 || block <= bytes + bytes / 2, "{bytes} in {block}");
        }
        // In wasm it is no layout at all.
        let beyond = Layout::from_size_align((1 << 31) + 1, 8).ok();
        assert_eq!(beyond.and_then(size_of), None);
    }

    #[test]
    fn memory_that_does_not_grow_is_no_block() {
        let heap = Heap::new(Some64::new(100));
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the layout has a size.
        assert!(unsafe { heap.alloc(layout) }.is_null());
    }

    proptest! {
        #[test]
        fn blocks_keep_what_was_written_whatever_comes_and_goes(
            gap in 0usize..2,
            ops in prop::collection::vec((0u8..3, 0usize..20, 1usize..3000, 0u32..6), 1..300),
        ) {
            let heap = Heap::new(Some64::new(gap));
            let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
            for (n, (op, which, bytes, align)) in ops.into_iter().enumerate() {
                let mark = n as u8;
                // SAFETY: blocks are written and read within their layouts, and given back once.
                unsafe {
                    if op == 0 || live.is_empty() {
                        let layout = Layout::from_size_align(bytes, 1 << align).unwrap();
                        let block = heap.alloc(layout);
                        if block.is_null() {
                            continue;
                        }
                        prop_assert_eq!(block as usize % (1 << align), 0);
                        block.write_bytes(mark, bytes);
                        live.push((block, layout, mark));
                    } else {
                        let (block, layout, old) = live.swap_remove(which % live.len());
                        for at in 0..layout.size() {
                            prop_assert_eq!(block.add(at).read(), old);
                        }
                        if op == 1 {
                            heap.dealloc(block, layout);
                        } else {
                            let moved = heap.realloc(block, layout, bytes);
                            if moved.is_null() {
                                live.push((block, layout, old));
                                continue;
                            }
                            for at in 0..layout.size().min(bytes) {
                                prop_assert_eq!(moved.add(at).read(), old);
                            }
                            moved.write_bytes(mark, bytes);
                            let layout = Layout::from_size_align(bytes, layout.align()).unwrap();
                            live.push((moved, layout, mark));
                        }
                    }
                }
            }
        }
    }
}
