"""What emotions are called: everyday English that the text tower misplaces, thirteen other languages, and faces in emoji.

Data only; :mod:`emolib.words` reads it. Words are lower case; accents may be left out by the user, not here. A language's line holds forms
as people type them: masculine, feminine, noun. A word that means something else in another of the languages is left out.
"""

ENGLISH = {
    "neutral": (
        "no emotion, without emotion, no expression, without expression, unemotional, deadpan, poker face, "
        "stony-faced, unmoved, matter-of-fact, serene, tranquil, peaceful, normal, even-tempered, indifferent, "
        "apathetic, cool and collected, straight-faced"
    ),
    "angry": (
        "cross, livid, pissed off, pissed, seething, fuming, incensed, infuriated, hopping mad, ticked off, wrathful, "
        "wrath, ire, seeing red, hot under the collar, indignant, indignation, fury, furious, aggressive, hostile, "
        "resentful, irritable, exasperated, frustrated, vexed, grumpy, cranky, snappy, bitter, outrage, raging, "
        "bad-tempered, steaming, hateful"
    ),
    "contempt": (
        "contempt, scorn, disdain, sneer, haughty, supercilious, looking down on someone, snobbish, arrogant, "
        "patronising, patronizing, mocking, derision, smirking, snide, superior, stuck-up, disrespectful, eye-rolling"
    ),
    "disgusted": (
        "disgust, revulsion, yuck, ew, eww, nauseous, grossed-out, gross, loathing, distaste, aversion, repugnance, "
        "turned off, sick to the stomach, queasy, appalled, revolting, repelled"
    ),
    "fear": (
        "fear, scared stiff, dread, horror, horrified, petrified, terror, panic, panicky, frightened to death, "
        "worried, nervous, uneasy, apprehensive, spooked, timid, anxiety, fright, phobic, panic-stricken, jittery, on "
        "edge, tense, threatened, shaking, horror-struck"
    ),
    "happy": (
        "joy, over the moon, on cloud nine, elated, thrilled, ecstatic, overjoyed, jubilant, blissful, content, "
        "contented, beaming, grinning, laughing, laughter, jolly, cheery, tickled pink, euphoric, in high spirits, "
        "exuberant, radiant, amused, satisfied, excited, upbeat, optimistic, gleeful, proud, grateful, enthusiastic, "
        "lighthearted, sunny, bliss, delight, happiness, glee"
    ),
    "sad": (
        "sadness, blue, feeling blue, down, down in the dumps, heartbroken, heartbreak, grief, grieving, in tears, "
        "tearful, crying, weeping, melancholy, melancholic, dejected, despondent, forlorn, hopeless, despairing, "
        "despair, wistful, dismal, low, sullen, crestfallen, disappointed, hurt, lonely, broken-hearted, devastated, "
        "sorry, mourning, gloom, woeful, glum"
    ),
    "surprised": (
        "surprise, shocked, shock, taken aback, speechless, gobsmacked, wide-eyed, bewildered, thunderstruck, "
        "astonishment, amazement, jaw-dropping, blown away, incredulous, stupefied, staggered, caught off guard, wow, "
        "omg, disbelief"
    ),
}

# fr, de, es, it, pt, nl, pl, tr: written in Latin letters; a whole text must be such words.
LATIN = {
    "neutral": (
        "neutre, calme, impassible, détendu, détendue; neutral, ruhig, gelassen, ausdruckslos, entspannt; neutro, "
        "neutra, tranquilo, tranquila, inexpresivo, sereno, serena; neutrale, calmo, calma, impassibile, tranquillo, "
        "tranquilla; inexpressivo; neutraal, rustig, kalm, ontspannen; neutralny, neutralna, spokojny, spokojna, "
        "obojętny; nötr, sakin, tarafsız"
    ),
    "angry": (
        "en colère, fâché, fâchée, furieux, furieuse, énervé, énervée, colère, rage; wütend, zornig, böse, verärgert, "
        "sauer, wut, zorn, ärger, wütende; enojado, enojada, enfadado, enfadada, furioso, furiosa, ira, enojo, rabia; "
        "arrabbiato, arrabbiata, rabbia, furibondo; zangado, zangada, irritado, irritada, com raiva, raiva; boos, "
        "kwaad, woedend, woede, razend; zły, zła, wściekły, wściekła, rozgniewany, złość, gniew; kızgın, öfkeli, "
        "sinirli, öfke"
    ),
    "contempt": (
        "mépris, méprisant, méprisante, dédaigneux, dédaigneuse, dédain; verächtlich, verachtung, abfällig, "
        "geringschätzig, herablassend; desprecio, despectivo, despectiva, desdeñoso, desdén; disprezzo, sprezzante, "
        "sdegnoso, sdegno; desprezo, desdenhoso, desdém; minachting, minachtend, verachting, neerbuigend; pogarda, "
        "pogardliwy, pogardliwa, wzgarda; küçümseyen, küçümseme, aşağılayan, hor gören"
    ),
    "disgusted": (
        "dégoûté, dégoûtée, dégoût, écœuré, écœurée, répugné; angeekelt, angewidert, ekel, ekelig, abscheu, eklig; "
        "asqueado, asqueada, asco, repugnancia; disgustato, disgustata, disgusto, schifato, schifata, nauseato; nojo, "
        "com nojo, repugnado, enjoado, enjoada; walging, vol walging, vies, misselijk, afschuw; zniesmaczony, "
        "zniesmaczona, obrzydzenie, wstręt; iğrenmiş, tiksinmiş, tiksinti, iğrenme"
    ),
    "fear": (
        "peur, effrayé, effrayée, apeuré, apeurée, terrifié, terrifiée, angoissé, craintif, anxieux; ängstlich, "
        "verängstigt, angst, erschrocken, furcht, furchtsam, panisch; miedo, asustado, asustada, aterrorizado, "
        "temeroso, aterrado; paura, spaventato, spaventata, impaurito, impaurita, terrorizzato, timoroso; medo, com "
        "medo, amedrontado, amedrontada, apavorado; bang, angstig, bevreesd, geschrokken, doodsbang; przestraszony, "
        "przestraszona, strach, przerażony, przerażona, lęk; korkmuş, korku, korkulu, ürkmüş, endişeli"
    ),
    "happy": (
        "heureux, heureuse, joyeux, joyeuse, content, contente, joie, ravi, ravie, gai; glücklich, fröhlich, froh, "
        "freudig, freude, heiter, zufrieden; feliz, alegre, contento, contenta, alegría, felicidad, dichoso; felice, "
        "allegro, allegra, gioia, gioioso, lieto; alegria, contente; blij, gelukkig, vrolijk, vreugde, opgewekt; "
        "szczęśliwy, szczęśliwa, wesoły, wesoła, radosny, radosna, radość; mutlu, neşeli, sevinçli, mutluluk, sevinç"
    ),
    "sad": (
        "triste, tristesse, malheureux, malheureuse, déprimé, déprimée, affligé, chagrin; traurig, betrübt, trauer, "
        "unglücklich, niedergeschlagen, deprimiert; tristeza, deprimido, deprimida, apenado, infeliz; tristezza, "
        "infelice, depresso, addolorato; abatido; verdrietig, droevig, treurig, bedroefd, verdriet, somber; smutny, "
        "smutna, smutek, przygnębiony, zasmucony; üzgün, hüzünlü, mutsuz, üzüntü, kederli"
    ),
    "surprised": (
        "surpris, surprise, étonné, étonnée, étonnement, stupéfait, stupéfaite, ébahi; überrascht, erstaunt, "
        "überraschung, verblüfft, verwundert, staunend; sorprendido, sorprendida, sorpresa, asombrado, asombrada, "
        "asombro; sorpreso, sorpresa, stupito, stupita, stupore, meravigliato; surpreso, surpresa, espantado, "
        "admirado; verrast, verbaasd, verbazing, verwonderd, verrassing; zaskoczony, zaskoczona, zdziwiony, "
        "zdziwiona, zdumiony, zaskoczenie; şaşkın, şaşırmış, şaşkınlık, hayret"
    ),
}

# ru, ar, hi, zh, ja, ko: found anywhere in a text, the longest first.
OTHER = {
    "neutral": (
        "нейтральн, спокойн, равнодушн; محايد, هادئ; तटस्थ, शांत, सामान्य; 中性, 平静, 平靜, 冷静, 冷靜, 面无表情, "
        "无表情; 中立, 無表情, 冷静, 落ち着, ニュートラル; 무표정, 중립, 차분, 평온"
    ),
    "angry": (
        "злой, злая, злит, злост, сердит, гнев, разгневан, ярост, в ярости, разъярен, раздражен, раздражён; غاضب, "
        "غضب, زعلان; गुस्स, क्रोध, नाराज, नाराज़; 生气, 生氣, 愤怒, 憤怒, 怒, 恼火, 火大, 气愤, 不满; 怒り, 怒っ, "
        "腹立; 화난, 화가, 화났, 분노, 성난, 짜증"
    ),
    "contempt": (
        "презр, пренебреж, высокомер; احتقار, محتقر, ازدراء; तिरस्कार, घमंड, अवमानना; 轻蔑, 輕蔑, 蔑视, 蔑視, 鄙视, "
        "鄙視, 不屑, 看不起; 軽蔑, 見下, 侮蔑; 경멸, 멸시, 업신여"
    ),
    "disgusted": (
        "отвращ, противно, брезглив, тошно; مشمئز, اشمئزاز, قرف; घृणा, घिन; 恶心, 噁心, 厌恶, 厭惡, 反感, 讨厌; 嫌悪, "
        "気持ち悪, うんざり; 역겨, 혐오, 구역질"
    ),
    "fear": (
        "страх, испуган, напуган, боится, боюсь, ужас, тревож, пугл; خائف, خوف, مرعوب, مذعور; डर, भय, भयभीत; 害怕, "
        "恐惧, 恐懼, 惊恐, 驚恐, 恐慌, 不安, 怕; 恐れ, 怖, 恐怖, 怯え; 무서, 두려, 공포, 겁"
    ),
    "happy": (
        "счастлив, счастье, рад, радост, весел, довольн; سعيد, سعادة, فرحان, فرح, مسرور, مبسوط; खुश, ख़ुश, प्रसन्न, "
        "आनंद, आनन्द; 高兴, 高興, 快乐, 快樂, 开心, 開心, 幸福, 愉快, 喜悦, 喜悅; 嬉し, うれし, 幸せ, 楽し, 喜; 행복, "
        "기쁜, 기뻐, 기쁨, 즐거, 신난"
    ),
    "sad": (
        "груст, печал, тоск, несчаст, уныл, расстроен; حزين, حزن, كئيب; दुखी, दुःखी, उदास, दुख; 难过, 難過, 悲伤, "
        "悲傷, 伤心, 傷心, 沮丧, 忧伤, 不高兴, 不开心, 不開心; 悲し, 哀し, 落ち込; 슬픈, 슬퍼, 슬픔, 슬프, 우울, 불행"
    ),
    "surprised": (
        "удивлен, удивлён, удивл, изумлен, изумлён, изумл, поражен, поражён, ошеломл; متفاجئ, مندهش, مفاجأة, دهشة, "
        "مذهول; आश्चर्य, हैरान, चकित, अचंभित; 惊讶, 驚訝, 吃惊, 吃驚, 惊喜, 震惊, 诧异; 驚, びっくり, 吃驚; 놀란, "
        "놀라, 놀람, 깜짝"
    ),
}

EMOJI = {
    "neutral": "😐😑😶🙂",
    "angry": "😠😡🤬👿💢😤",
    "contempt": "🙄😏😒",
    "disgusted": "🤢🤮🤧",
    "fear": "😨😱😰😧😖😟",
    "happy": "😀😃😄😁😆😊😂🤣😍🥰☺😸🥳🤗😋",
    "sad": "😢😭😞😔☹🙁😿🥺😥😪",
    "surprised": "😮😲😯🤯😳🫢",
}

SOFTENERS = (
    "a bit, a little, a little bit, slightly, somewhat, kind of, sort of, rather, quite, very, extremely, really, so, "
    "too, pretty, mildly, deeply, utterly, absolutely, totally, completely, un peu, très, tres, trop, vraiment, "
    "plutôt, etwas, ein bisschen, ein wenig, sehr, ziemlich, ganz, total, un poco, muy, bastante, molto, un po, "
    "abbastanza, um pouco, muito, een beetje, heel, erg, zeer, bardzo, trochę, çok, biraz"
)
# What stands about an emotion's word without changing it.
FILLERS = (
    "a, an, the, i, am, i'm, im, he, she, they, it, is, are, looks, look, looking, feels, feel, feeling, sounds, "
    "seems, with, of, in, face, person, expression, emotion, mood, voice, please, make, her, him, je, suis, il, elle, "
    "est, un, une, visage, ich, bin, er, sie, ist, ein, eine, gesicht, estoy, soy, está, cara, rostro, sono, è, viso, "
    "faccia, estou, sou, rosto, ik, ben, hij, zij, gezicht, jestem, jest, twarz, yüz, bir, avec, mit, con, com, de, "
    "and, et, und, y, e, en, i, ve"
)
NEGATIONS = (
    "not, no, never, without, isn't, aren't, don't, doesn't, isnt, dont, doesnt, neither, nor, hardly, pas, sans, "
    "jamais, aucun, aucune, nicht, kein, keine, ohne, nie, sin, nunca, non, senza, mai, não, nao, sem, niet, geen, "
    "zonder, nooit, nie, bez, değil, degil, hiç, не, без, нет, ни, ليس, لا, غير, بدون, नहीं, मत, बिना, ना"
)
NEGATING_SIGNS = "不 没 沒 別 别 無 无 非 ない ません なく ず 않 안 없 못"
