//! Explanation methods: one file a method.
