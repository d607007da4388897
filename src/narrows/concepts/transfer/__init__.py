"""The parts of TF-TTI: unit statistics, the search for an edit, and the edited units."""
