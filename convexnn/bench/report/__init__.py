"""What a sweep found: frames, measures, ratios, figures and the page that shows them."""
