"""What people call emotions beyond the words that our prompts use: 82, on which text towers are measured (``words_of_82``).

Written down before the text head was trained, and in none of its texts. Data only.
"""

UNSEEN_WORDS = {
    "neutral": "serene, tranquil, unemotional, deadpan, matter-of-fact, unmoved, indifferent, placid",
    "angry": (
        "livid, seething, fuming, incensed, infuriated, wrathful, indignant, hostile, cross, exasperated, hopping mad, seeing red"
    ),
    "contempt": "haughty, supercilious, looking down on someone, arrogant, mocking, snobbish, smirking, patronising, sarcastic",
    "disgusted": "loathing, nauseous, yuck, gagging, turned off, sick to the stomach, repugnance, squeamish, appalled by the smell",
    "fear": (
        "horrified, petrified, dreading, nervous, worried, spooked, scared stiff, in terror, timid, apprehensive, uneasy, phobic"
    ),
    "happy": (
        "over the moon, ecstatic, elated, thrilled, jubilant, blissful, overjoyed, content, beaming, grinning, in high spirits, euphoric"
    ),
    "sad": (
        "heartbroken, grieving, tearful, melancholy, dejected, despondent, forlorn, hopeless, weeping, blue, down in the dumps, "
        "crestfallen"
    ),
    "surprised": (
        "shocked, taken aback, speechless, gobsmacked, wide-eyed, thunderstruck, caught off guard, incredulous"
    ),
}
UNSEEN = {word: emotion for emotion, words in UNSEEN_WORDS.items() for word in words.split(", ")}
