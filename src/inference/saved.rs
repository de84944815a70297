//! What a run keeps so that it can go on later with the same bits: counts and reals in one order, as 64-bit words. Reading
//! is total: what is short, long or of another shape gives `None`, never a number from the wrong place.

/// Words in the order in which they are read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    words: Vec<u64>,
}

/// First word of the bytes: this layout.
const LAYOUT: u64 = 0x5052_4f56_4900_0001;

impl Saved {
    pub fn count(&mut self, count: usize) {
        self.words.push(count as u64);
    }

    pub fn real(&mut self, x: f64) {
        self.words.push(x.to_bits());
    }

    /// A run of reals with its length.
    pub fn reals(&mut self, run: &[f64]) {
        self.count(run.len());
        self.words.extend(run.iter().map(|x| x.to_bits()));
    }

    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words.push(u64::from_le_bytes(word));
        }
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader { words: &self.words, at: 0 }
    }

    /// As a file holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 * self.words.len() + 16);
        bytes.extend(LAYOUT.to_le_bytes());
        bytes.extend((self.words.len() as u64).to_le_bytes());
        self.words.iter().for_each(|w| bytes.extend(w.to_le_bytes()));
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Saved> {
        if !bytes.len().is_multiple_of(8) {
            return None;
        }
        let mut words = bytes.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_le_bytes);
        if words.next()? != LAYOUT {
            return None;
        }
        let len = words.next()?;
        let words: Vec<u64> = words.collect();
        (words.len() as u64 == len).then_some(Saved { words })
    }
}

/// Reads from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    words: &'a [u64],
    at: usize,
}

impl Reader<'_> {
    fn word(&mut self) -> Option<u64> {
        let word = self.words.get(self.at).copied()?;
        self.at += 1;
        Some(word)
    }

    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.word()?).ok()
    }

    pub fn real(&mut self) -> Option<f64> {
        self.word().map(f64::from_bits)
    }

    pub fn reals(&mut self) -> Option<Vec<f64>> {
        let len = self.count()?;
        let run = self.words.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(run.iter().map(|w| f64::from_bits(*w)).collect())
    }

    /// A run of the length of `out`.
    pub fn reals_into(&mut self, out: &mut [f64]) -> Option<()> {
        let run = self.reals()?;
        (run.len() == out.len()).then(|| out.copy_from_slice(&run))
    }

    pub fn text(&mut self) -> Option<String> {
        let len = self.count()?;
        let mut bytes = Vec::new();
        for _ in 0..len.div_ceil(8).min(self.words.len()) {
            bytes.extend(self.word()?.to_le_bytes());
        }
        bytes.truncate(len);
        String::from_utf8(bytes).ok().filter(|t| t.len() == len)
    }

    pub fn done(&self) -> bool {
        self.at == self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_back() {
        let mut saved = Saved::default();
        saved.count(7);
        saved.real(f64::NAN);
        saved.reals(&[-0.0, f64::INFINITY, 1.0 / 3.0]);
        saved.text("θ and more than eight bytes");
        let again = Saved::from_bytes(&saved.to_bytes()).unwrap();
        assert_eq!(again, saved);
        let mut reader = again.reader();
        assert_eq!(reader.count(), Some(7));
        assert!(reader.real().unwrap().is_nan());
        let run = reader.reals().unwrap();
        assert!(run[0].is_sign_negative() && run[1] == f64::INFINITY && run[2] == 1.0 / 3.0);
        assert_eq!(reader.text().as_deref(), Some("θ and more than eight bytes"));
        assert!(reader.done() && reader.count().is_none() && reader.reals().is_none());
    }

    #[test]
    fn broken_bytes_are_refused() {
        let mut saved = Saved::default();
        saved.reals(&[1.0, 2.0]);
        let bytes = saved.to_bytes();
        assert!(Saved::from_bytes(&bytes[..bytes.len() - 8]).is_none());
        assert!(Saved::from_bytes(&bytes[1..]).is_none());
        assert!(Saved::from_bytes(&[0; 32]).is_none());
        let mut long = Saved::default();
        long.count(usize::MAX);
        assert!(long.reader().reals().is_none() && long.reader().text().is_none());
    }
}
