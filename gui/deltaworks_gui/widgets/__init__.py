"""Small widgets that every page is built from. They show; they decide nothing."""
