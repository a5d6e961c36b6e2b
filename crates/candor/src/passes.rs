//! Cost of work, in passes of one image through the network.

/// Passes of one image through the network, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
}

impl std::ops::AddAssign for Passes {
    fn add_assign(&mut self, other: Passes) {
        self.forward += other.forward;
        self.backward += other.backward;
    }
}

impl std::iter::Sum for Passes {
    fn sum<I: Iterator<Item = Passes>>(all: I) -> Passes {
        all.fold(Passes::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

impl Passes {
    /// Share of query `q` of `count` queries in passes that all of them share. The shares add up to the whole.
    pub fn share(self, q: usize, count: usize) -> Passes {
        let part = |n: u64| n / count.max(1) as u64 + u64::from((q as u64) < n % count.max(1) as u64);
        Passes { forward: part(self.forward), backward: part(self.backward) }
    }
}
