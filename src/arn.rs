//! Amazon Resource Names, as far as a gateway writes and reads them.
