//! The memory that heap blocks take, with the allocator's overhead.

/// What a block of `bytes` takes: malloc of glibc and musl adds up to 16 bytes and gives at least 32.
pub(crate) const fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// What `count` values of `T` take in one block.
pub(crate) fn list<T>(count: usize) -> usize {
    block(count * size_of::<T>())
}

/// What a value takes behind an `Arc`, with its two counts.
pub(crate) const fn shared<T>() -> usize {
    block(2 * size_of::<usize>() + size_of::<T>())
}

/// What a text of `length` bytes takes behind an `Arc`.
pub(crate) fn shared_text(length: usize) -> usize {
    block(2 * size_of::<usize>() + length)
}
