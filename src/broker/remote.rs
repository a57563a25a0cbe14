//! What consumers of engines outside the process have in common.
