"""The words of the built-in catalogue: a tree of 6 departments, 24 categories, 96 leaves.

Every leaf has four product nouns, so that titles carry the leaf and an encoder can find it.
"""

from __future__ import annotations

# ruff: noqa: SIM905 - lists of words read better as prose than one a line

TREE: dict[str, dict[str, dict[str, str]]] = {
    "Home & Kitchen": {
        "Cookware": {
            "Frying Pans": "Frying Pan|Skillet|Griddle|Crepe Pan",
            "Saucepans": "Saucepan|Milk Pan|Stockpot|Double Boiler",
            "Bakeware": "Loaf Tin|Muffin Tray|Cake Tin|Baking Sheet",
            "Woks": "Wok|Stir-Fry Pan|Paella Pan|Karahi",
        },
        "Tableware": {
            "Mugs": "Coffee Mug|Tea Cup|Espresso Cup|Travel Mug",
            "Plates": "Dinner Plate|Dessert Plate|Serving Platter|Side Plate",
            "Glasses": "Wine Glass|Tumbler|Champagne Flute|Beer Glass",
            "Cutlery": "Steak Knife|Dinner Fork|Soup Spoon|Cutlery Set",
        },
        "Bedding": {
            "Pillows": "Pillow|Bolster|Neck Pillow|Pillow Protector",
            "Duvets": "Duvet|Comforter|Quilt|Duvet Cover",
            "Sheets": "Fitted Sheet|Flat Sheet|Bed Sheet Set|Mattress Topper",
            "Blankets": "Throw Blanket|Bed Blanket|Weighted Blanket|Bedspread",
        },
        "Storage": {
            "Baskets": "Laundry Basket|Wicker Basket|Toy Basket|Bread Basket",
            "Shelves": "Wall Shelf|Bookcase|Corner Shelf|Shoe Rack",
            "Food Containers": "Food Container|Spice Jar|Lunch Box|Cereal Dispenser",
            "Hooks": "Coat Hook|Key Rack|Towel Rail|Wall Hanger",
        },
    },
    "Office": {
        "Writing": {
            "Pens": "Ballpoint Pen|Fountain Pen|Gel Pen|Rollerball Pen",
            "Pencils": "Mechanical Pencil|Drawing Pencil|Coloured Pencil Set|Pencil Lead",
            "Markers": "Permanent Marker|Highlighter|Whiteboard Marker|Paint Marker",
            "Erasers": "Eraser|Correction Tape|Correction Pen|Pencil Sharpener",
        },
        "Paper": {
            "Notebooks": "Notebook|Journal|Sketchbook|Spiral Notepad",
            "Sticky Notes": "Sticky Note Pad|Page Marker|Memo Cube|Index Tab",
            "Envelopes": "Envelope|Padded Mailer|Shipping Bag|Document Wallet",
            "Printer Paper": "Copy Paper Ream|Photo Paper|Cardstock Pack|Label Sheet",
        },
        "Desk": {
            "Desk Lamps": "Desk Lamp|Clip Lamp|Reading Light|Monitor Light",
            "Organizers": "Desk Organizer|Pen Holder|Letter Tray|Drawer Divider",
            "Chairs": "Office Chair|Drafting Stool|Kneeling Chair|Seat Cushion",
            "Monitor Stands": "Monitor Stand|Laptop Riser|Monitor Arm|Footrest",
        },
        "Filing": {
            "Binders": "Ring Binder|Lever Arch File|Presentation Binder|Clip File",
            "Folders": "Hanging Folder|File Folder|Expanding File|Project Folder",
            "Staplers": "Stapler|Staple Remover|Hole Punch|Paper Fastener",
            "Label Makers": "Label Maker|Label Tape|Date Stamp|Barcode Labeller",
        },
    },
    "Sports": {
        "Cycling": {
            "Helmets": "Bike Helmet|Road Helmet|Skate Helmet|Helmet Liner",
            "Bike Lights": "Bike Light|Rear Light|Handlebar Lamp|Spoke Reflector",
            "Bike Locks": "Bike Lock|Chain Lock|Folding Lock|Cable Lock",
            "Tyres": "Bike Tyre|Inner Tube|Tyre Lever|Puncture Kit",
        },
        "Camping": {
            "Tents": "Tent|Tarp Shelter|Bivvy Bag|Tent Footprint",
            "Sleeping Bags": "Sleeping Bag|Bag Liner|Camping Quilt|Sleeping Mat",
            "Stoves": "Camping Stove|Gas Burner|Wood Stove|Camp Kettle",
            "Lanterns": "Camping Lantern|Head Torch|Flashlight|Tent Light",
        },
        "Fitness": {
            "Dumbbells": "Dumbbell|Kettlebell|Barbell Plate|Ankle Weight",
            "Yoga": "Yoga Mat|Yoga Block|Yoga Strap|Meditation Cushion",
            "Resistance Bands": "Resistance Band|Pull-Up Band|Tube Band|Loop Band",
            "Skipping Ropes": "Skipping Rope|Speed Rope|Battle Rope|Agility Ladder",
        },
        "Swimming": {
            "Goggles": "Swim Goggles|Diving Mask|Snorkel|Goggle Case",
            "Swim Caps": "Swim Cap|Ear Plugs|Nose Clip|Hair Cover",
            "Fins": "Swim Fins|Hand Paddles|Monofin|Diving Boots",
            "Floats": "Kickboard|Pull Buoy|Swim Noodle|Arm Floats",
        },
    },
    "Electronics": {
        "Audio": {
            "Headphones": "Headphones|Earbuds|Gaming Headset|Neckband Earphones",
            "Speakers": "Bluetooth Speaker|Soundbar|Bookshelf Speaker|Party Speaker",
            "Microphones": "USB Microphone|Lavalier Microphone|Boom Arm|Pop Filter",
            "Turntables": "Turntable|Record Brush|Phono Preamp|Turntable Mat",
        },
        "Computing": {
            "Keyboards": "Mechanical Keyboard|Wireless Keyboard|Keycap Set|Wrist Rest",
            "Mice": "Wireless Mouse|Gaming Mouse|Trackball|Mouse Pad",
            "Webcams": "Webcam|Conference Camera|Webcam Cover|Ring Light",
            "Drives": "External Drive|USB Stick|Memory Card|Drive Enclosure",
        },
        "Mobile": {
            "Phone Cases": "Phone Case|Flip Cover|Bumper Case|Phone Pouch",
            "Chargers": "Wall Charger|Wireless Charger|Car Charger|Charging Dock",
            "Power Banks": "Power Bank|Battery Case|Solar Charger|Jump Starter",
            "Cables": "Charging Cable|Data Cable|Cable Adapter|Extension Lead",
        },
        "Photo": {
            "Tripods": "Tripod|Monopod|Ball Head|Phone Mount",
            "Lenses": "Prime Lens|Zoom Lens|Lens Hood|Lens Filter",
            "Camera Bags": "Camera Bag|Lens Pouch|Camera Strap|Camera Insert",
            "Studio Lights": "Softbox|Light Stand|Studio Flash|Photo Backdrop",
        },
    },
    "Garden": {
        "Plants": {
            "Seeds": "Tomato Seeds|Basil Seeds|Wildflower Mix|Lettuce Seeds",
            "Pots": "Plant Pot|Hanging Planter|Seed Tray|Window Box",
            "Soil": "Potting Soil|Compost|Mulch Bag|Perlite",
            "Fertilizer": "Plant Food|Lawn Fertilizer|Bone Meal|Liquid Feed",
        },
        "Tools": {
            "Pruners": "Secateurs|Hedge Shears|Lopper|Pruning Saw",
            "Spades": "Garden Spade|Hand Trowel|Digging Fork|Bulb Planter",
            "Rakes": "Leaf Rake|Garden Hoe|Cultivator|Soil Sieve",
            "Gloves": "Garden Gloves|Rose Gauntlets|Knee Pads|Garden Apron",
        },
        "Watering": {
            "Hoses": "Garden Hose|Hose Reel|Hose Connector|Soaker Hose",
            "Sprinklers": "Lawn Sprinkler|Drip Kit|Spray Nozzle|Misting Head",
            "Watering Cans": "Watering Can|Plant Mister|Watering Globe|Rain Gauge",
            "Timers": "Water Timer|Moisture Meter|Flow Meter|Irrigation Valve",
        },
        "Outdoor Living": {
            "Barbecues": "Charcoal Grill|Gas Grill|Grill Brush|Smoker Box",
            "Hammocks": "Hammock|Hammock Stand|Swing Seat|Hanging Chair",
            "Parasols": "Parasol|Parasol Base|Sun Sail|Gazebo",
            "Bird Feeders": "Bird Feeder|Nest Box|Bird Bath|Suet Holder",
        },
    },
    "Beauty": {
        "Skin Care": {
            "Moisturizers": "Face Cream|Night Cream|Body Lotion|Hand Balm",
            "Cleansers": "Face Wash|Cleansing Oil|Micellar Water|Cleansing Foam",
            "Serums": "Vitamin Serum|Retinol Serum|Hyaluronic Serum|Eye Serum",
            "Sunscreens": "Sunscreen|Sun Stick|After-Sun Gel|Sun Spray",
        },
        "Hair Care": {
            "Shampoos": "Shampoo|Dry Shampoo|Shampoo Bar|Scalp Scrub",
            "Conditioners": "Conditioner|Hair Mask|Leave-In Cream|Hair Oil",
            "Brushes": "Hair Brush|Detangling Comb|Round Brush|Paddle Brush",
            "Stylers": "Hair Dryer|Straightener|Curling Wand|Hot Brush",
        },
        "Makeup": {
            "Lipsticks": "Lipstick|Lip Gloss|Lip Liner|Lip Tint",
            "Mascaras": "Mascara|Eyeliner|Lash Curler|Brow Gel",
            "Foundations": "Foundation|Concealer|Setting Powder|Primer",
            "Nail Polish": "Nail Polish|Top Coat|Nail File|Cuticle Oil",
        },
        "Fragrance": {
            "Perfumes": "Eau de Parfum|Perfume Oil|Body Mist|Solid Perfume",
            "Candles": "Scented Candle|Reed Diffuser|Wax Melt|Candle Snuffer",
            "Bath": "Bath Bomb|Bubble Bath|Bath Salt|Shower Gel",
            "Soaps": "Hand Soap|Soap Bar|Soap Dish|Exfoliating Soap",
        },
    },
}

ADJECTIVES = (
    "Classic Compact Deluxe Everyday Essential Heritage Lightweight Modern Premium Rugged Slim "
    "Ultra"
).split()
FINISHES = (
    "Brushed Matte Polished Textured Woven Satin Natural Recycled Hammered Quilted Ribbed Glossy "
    "Speckled"
).split()
"""One more than adjectives, and a prime: see the check symbol in `synthetic`."""
COLOURS = "Black White Red Blue Green Grey Navy Olive Coral Teal Amber Ivory".split()
SIZES = "Mini Small Medium Large XL XXL".split()
BRANDS = (
    "Aldermoor Brightwell Calder Dunmore Eastvale Fenwick Gladstone Harrow Inverleith Juniper "
    "Kestrel Lindqvist Marlowe Northbrook Orrin Pemberly Quillon Ravensworth Solveig Thistledown "
    "Umberto Valden Westerly Xantia Yarrow Zephyra Ashgrove Birchall Copperfield Drayton Elmsley "
    "Foxglove Greystone Hollins Ironbark Jessamy Kingsley Larkspur Mistral Nettleton Oakhurst "
    "Penrose Quarry Redfern Silverdale Tamsin Underhill Verity"
).split()
"""48, eight a department."""
