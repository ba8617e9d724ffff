"""Who is there and who was: visits, counts, and what is told of them."""
