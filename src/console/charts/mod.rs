//! Figures as SVG. Pure; must not know where figures come from.
