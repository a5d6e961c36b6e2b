//! Windows over a level's grid, in which classes are searched for.

/// Sides of the windows in sevenths of the grid: two to five cells of a 7×7 grid.
const SEVENTHS: [usize; 4] = [2, 3, 4, 5];

/// A window over a grid: half-open ranges of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First row, and one past the last row.
    pub rows: [usize; 2],
    /// First column, and one past the last column.
    pub columns: [usize; 2],
}

impl Window {
    /// The whole grid.
    pub fn whole([height, width]: [usize; 2]) -> Self {
        Window { rows: [0, height], columns: [0, width] }
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])
    }

    /// A mask on another grid (height·width values, row-major): `inside` at cells whose centre is in this window of the grid `from`,
    /// `outside` elsewhere.
    pub fn mask(&self, from: [usize; 2], to: [usize; 2], [inside, outside]: [f32; 2]) -> Vec<f32> {
        let [height, width] = to;
        let within = |i: usize, [first, end]: [usize; 2], from: usize, to: usize| {
            let centre = (2 * i + 1) * from;
            (2 * first * to..2 * end * to).contains(&centre)
        };
        let cell = |i: usize| {
            let row = within(i / width, self.rows, from[0], height);
            if row && within(i % width, self.columns, from[1], width) { inside } else { outside }
        };
        (0..height * width).map(cell).collect()
    }

    /// Its edges as fractions of the image, 0..=1: `[top, left, bottom, right]`.
    pub fn shares(&self, [height, width]: [usize; 2]) -> [f64; 4] {
        let share = |edge: usize, size: usize| edge as f64 / size as f64;
        let ([top, bottom], [left, right]) = (self.rows, self.columns);
        [share(top, height), share(left, width), share(bottom, height), share(right, width)]
    }
}

/// Windows with sides of two to five sevenths of the grid's, a seventh apart; the whole grid is the last one.
pub fn over([height, width]: [usize; 2]) -> Vec<Window> {
    let mut all: Vec<Window> = vec![];
    for share in SEVENTHS {
        for rows in places(height, share) {
            for columns in places(width, share) {
                let window = Window { rows, columns };
                if !all.contains(&window) {
                    all.push(window);
                }
            }
        }
    }
    let whole = Window::whole([height, width]);
    all.retain(|w| *w != whole);
    all.push(whole);
    all
}

/// Positions of a side of `sevenths` sevenths along an axis: first cell, and one past the last.
fn places(size: usize, sevenths: usize) -> Vec<[usize; 2]> {
    let side = rounded(size * sevenths).clamp(1, size);
    let last = size - side;
    let steps = (0..last).step_by(rounded(size).max(1));
    steps.chain([last]).map(|first| [first, first + side]).collect()
}

/// `n` sevenths, rounded to an integer.
fn rounded(n: usize) -> usize {
    (2 * n + 7) / 14
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seven_by_seven_grid_has_every_window_of_two_to_five_cells() {
        let all = over([7, 7]);
        assert_eq!(all.len(), 36 + 25 + 16 + 9 + 1);
        assert_eq!(all[0], Window { rows: [0, 2], columns: [0, 2] });
        assert_eq!(all.last(), Some(&Window::whole([7, 7])));
    }

    #[test]
    fn windows_are_shares_of_any_grid_and_cover_it() {
        for grid in [[1, 1], [2, 2], [4, 4], [8, 8], [13, 13], [14, 10], [16, 16]] {
            let all = over(grid);
            assert!(all.len() <= 150, "{grid:?}: {}", all.len());
            let covered = |y: usize, x: usize| {
                let holds = |w: &&Window| {
                    (w.rows[0]..w.rows[1]).contains(&y) && (w.columns[0]..w.columns[1]).contains(&x)
                };
                all.iter().filter(|w| **w != Window::whole(grid)).any(|w| holds(&w)) || grid == [1, 1]
            };
            (0..grid[0] * grid[1]).for_each(|i| assert!(covered(i / grid[1], i % grid[1]), "{grid:?}"));
            assert!(all.iter().all(|w| w.rows[1] <= grid[0] && w.columns[1] <= grid[1] && w.cells() > 0));
        }
    }

    #[test]
    fn a_window_covers_the_same_part_of_every_grid() {
        let window = Window { rows: [1, 2], columns: [0, 1] };
        let mask = |to| window.mask([2, 2], to, [1.0, 0.1]);
        assert_eq!(mask([2, 2]), [0.1, 0.1, 1.0, 0.1]);
        assert_eq!(mask([4, 4])[8..], [1.0, 1.0, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1]);
        assert_eq!(window.shares([2, 2]), [0.5, 0.0, 1.0, 0.5]);
    }
}
