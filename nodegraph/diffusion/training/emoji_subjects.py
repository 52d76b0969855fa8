"""Which subjects a small model learns: our word for each, and the slug under which emoji tables list it."""

from __future__ import annotations

# Distinct silhouettes and colours; 13 animals, 7 dishes, 10 things.
DEMO_SUBJECTS: dict[str, str] = {
    "cat": "cat_face",
    "dog": "dog_face",
    "fox": "fox",
    "panda": "panda",
    "frog": "frog",
    "lion": "lion",
    "penguin": "penguin",
    "owl": "owl",
    "octopus": "octopus",
    "tropical fish": "tropical_fish",
    "butterfly": "butterfly",
    "ladybug": "lady_beetle",
    "unicorn": "unicorn",
    "red apple": "red_apple",
    "banana": "banana",
    "strawberry": "strawberry",
    "pizza": "pizza",
    "hamburger": "hamburger",
    "donut": "doughnut",
    "cupcake": "cupcake",
    "sun": "sun_with_face",
    "rainbow": "rainbow",
    "rocket": "rocket",
    "car": "automobile",
    "house": "house",
    "snowman": "snowman_without_snow",
    "cactus": "cactus",
    "sunflower": "sunflower",
    "mushroom": "mushroom",
    "turtle": "turtle",
}

# Groups of Unicode's emoji table that show things; faces, people, signs and flags are left out.
PICTORIAL_GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
